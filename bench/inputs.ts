import { spawnSync } from 'node:child_process'
import { createCipheriv, createHash, hash } from 'node:crypto'
import { once } from 'node:events'
import { closeSync, existsSync, fsyncSync, mkdirSync, openSync, readSync, rmSync, writeFileSync, writeSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { Worker } from 'node:worker_threads'

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

/** Lengths of files as they lie in a `node_modules`: most are short, and a few make most of the bytes. */
const PACKAGE_FILE_BYTES = [180, 300, 450, 700, 900, 1200, 1700, 2300, 3200, 4500, 7000, 12_000, 30_000, 90_000]

/** Files of each package of such a tree. */
const FILES_PER_PACKAGE = 28

/** Makes, once, a folder like `node_modules`: packages of 28 files in four folders each. */
export function packagesFolder (folder: string, fileCount: number): string {
  const path = join(folder, `packages-${fileCount}`)
  if (existsSync(path)) return path
  const random = randomBytesOf('packages')
  for (let index = 0; index < fileCount; index++) {
    const place = join(path, `package-${Math.floor(index / FILES_PER_PACKAGE)}`, ['.', 'lib', 'dist/esm', 'dist/cjs'][index % 4] ?? '.')
    mkdirSync(place, { recursive: true })
    writeFileSync(join(place, `file-${index}.js`), random(PACKAGE_FILE_BYTES[index % PACKAGE_FILE_BYTES.length] ?? 0))
  }
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

/** The same on all cores, each its part of the file; returns the seconds of the slowest, without the start of its thread. */
export async function secondsOfHashing (path: string): Promise<number> {
  const count = availableParallelism()
  const threads = Array.from({ length: count }, (_, part) => new Worker(`(${hashPart.toString()})()`, { eval: true, workerData: { path, part, count, pieceBytes: MIB } }))
  const seconds = await Promise.all(threads.map(async (thread) => Number((await once(thread, 'message'))[0])))
  return Math.max(...seconds)
}

/** Runs in a thread, as text. */
function hashPart (): void {
  const { parentPort, workerData: { path, part, count, pieceBytes } } = process.getBuiltinModule('node:worker_threads')
  const { closeSync, openSync, readSync } = process.getBuiltinModule('node:fs')
  const { hash } = process.getBuiltinModule('node:crypto')
  const startedMs = performance.now()
  const file = openSync(path, 'r')
  const buffer = Buffer.alloc(pieceBytes)
  for (let at = part * pieceBytes; ; at += count * pieceBytes) {
    const length = readSync(file, buffer, 0, pieceBytes, at)
    if (length === 0) break
    hash('sha256', buffer.subarray(0, length), 'buffer')
  }
  closeSync(file)
  parentPort?.postMessage((performance.now() - startedMs) / 1000, [])
}

/** What a tree costs a program that does little with it: `tar c` into a file, which is synced, and hashed. */
export function archiveFolder (path: string, folder: string): void {
  const target = join(folder, 'archive.tar')
  const { status } = spawnSync('tar', ['-cf', target, '-C', path, '.'], { stdio: 'inherit' })
  if (status !== 0) throw new Error(`tar ended with status ${status}`)
  const file = openSync(target, 'r')
  fsyncSync(file)
  closeSync(file)
  hashFile(target)
  rmSync(target)
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
