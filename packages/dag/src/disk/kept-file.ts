import { type AbortOptions, Block, isErrorCode, MAX_BLOCK_BYTES } from '@holdfast/core'
import type { FileHandle } from 'node:fs/promises'
import { type FileBytes, type FileLeaf, leafFrame } from '../file-leaves.ts'
import { onDisk } from './disk-error.ts'

type Leaf = Omit<FileLeaf, 'level'>
type KnownPart = Leaf | FileBytes

/**
 * Returns how many bytes at the front of a file are those of its leaves: each is hashed, so that whatever a crash or another
 * program made of the file, nothing wrong is kept.
 */
export async function keptByteLength (file: FileHandle, leaves: AsyncIterable<KnownPart>, { signal }: AbortOptions): Promise<number> {
  let end = 0
  let isRight = true
  // Read to its end, as whoever tells of the leaves expects.
  for await (const part of leaves) {
    signal?.throwIfAborted()
    isRight &&= part.start === end && await isThere(file, part)
    if (isRight) end += lengthOf(part)
  }
  return end
}

function lengthOf (part: KnownPart): number {
  return 'bytes' in part ? part.bytes.byteLength : part.byteLength
}

async function isThere (file: FileHandle, part: KnownPart): Promise<boolean> {
  const byteLength = lengthOf(part)
  if (byteLength > MAX_BLOCK_BYTES) return false
  const found = Buffer.alloc(byteLength)
  for (let at = 0; at < byteLength;) {
    const { bytesRead } = await onDisk('read what an interrupted run wrote', file.read(found, at, byteLength - at, part.start + at))
    if (bytesRead === 0) return false
    at += bytesRead
  }
  if ('bytes' in part) return found.equals(part.bytes)
  const frame = leafFrame(part)
  return frame !== undefined && await isBlock(part, Buffer.concat([frame.head, found, frame.tail]))
}

async function isBlock ({ cid }: Leaf, bytes: Uint8Array): Promise<boolean> {
  try {
    await Block.verify(cid, bytes)
    return true
  } catch (err) {
    if (isErrorCode(err, 'CORRUPT') || isErrorCode(err, 'LIMIT')) return false
    throw err
  }
}
