import { createCipheriv, createHash, hash } from 'node:crypto'
import { closeSync, existsSync, fsyncSync, mkdirSync, openSync, readSync, rmSync, writeFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'

export const MIB: number = 1 << 20

/** Bytes of each file of a tree. */
const TREE_FILE_BYTES = 4096

/** Makes, once, a file of bytes that do not compress and are the same on every run. */
export function bytesFile (folder: string, name: string, byteLength: number): string {
  const path = join(folder, name)
  if (existsSync(path)) return path
  const random = randomBytesOf(name)
  const file = openSync(path, 'w')
  for (let left = byteLength; left > 0; left -= MIB) writeSync(file, random(Math.min(left, MIB)))
  closeSync(file)
  return path
}

/** Makes, once, a folder of files of 4 KiB. */
export function treeFolder (folder: string, fileCount: number): string {
  const path = join(folder, `tree-${fileCount}`)
  if (existsSync(path)) return path
  mkdirSync(path)
  const random = randomBytesOf('tree')
  for (let index = 0; index < fileCount; index++) writeFileSync(join(path, `file-${index}`), random(TREE_FILE_BYTES))
  return path
}

/** Bytes of a tree, all files together. */
export function treeBytes (fileCount: number): number {
  return fileCount * TREE_FILE_BYTES
}

/** What hashing costs at least. */
export function hashFile (path: string): void {
  eachPiece(path, (piece) => { hash('sha256', piece, 'buffer') })
}

/** What the disk costs at least: the same bytes, written in order and synced once. */
export function copyFile (path: string, folder: string): void {
  const targetPath = join(folder, 'copy')
  const target = openSync(targetPath, 'w')
  eachPiece(path, (piece) => { writeSync(target, piece) })
  fsyncSync(target)
  closeSync(target)
  rmSync(targetPath)
}

function eachPiece (path: string, use: (piece: Buffer) => void): void {
  const file = openSync(path, 'r')
  const buffer = Buffer.alloc(MIB)
  for (let length = readSync(file, buffer); length > 0; length = readSync(file, buffer)) use(buffer.subarray(0, length))
  closeSync(file)
}

function randomBytesOf (seed: string): (byteLength: number) => Buffer {
  const cipher = createCipheriv('chacha20', createHash('sha256').update(seed).digest(), Buffer.alloc(16))
  return (byteLength) => cipher.update(Buffer.alloc(byteLength))
}
