/**
 * A leaf that is a dag-pb node without attributes, written around its content.
 *
 * ```
 * 0a LENGTH             Data of the dag-pb node
 *   08 TYPE             UnixFS Type
 *   12 LENGTH content   UnixFS Data
 *   18 LENGTH           UnixFS filesize
 * ```
 */
import { varintLength, writeVarint } from '@holdfast/core'
import type { ChunkBuffers } from './chunk-buffers.ts'

/** Numbers of UnixFS types on the wire, of those that leaves have. */
const TYPE_NUMBERS = { raw: 0, file: 2 } as const

export type LeafType = keyof typeof TYPE_NUMBERS

const NODE_TAG = 0x0a
const TYPE_TAG = 0x08
const DATA_TAG = 0x12
const FILESIZE_TAG = 0x18

/** Writes a leaf around a chunk that lies in `buffers`, so that nothing is copied; `undefined` when it lies elsewhere. */
export function wrapLeaf (chunk: Uint8Array, type: LeafType, buffers: ChunkBuffers): Uint8Array | undefined {
  const lengthBytes = varintLength(chunk.byteLength)
  const messageBytes = 2 + 1 + lengthBytes + chunk.byteLength + 1 + lengthBytes
  const front = 1 + varintLength(messageBytes) + 2 + 1 + lengthBytes
  const node = buffers.around(chunk, front, 1 + lengthBytes)
  if (node === undefined) return undefined
  let at = writeVarint(node, writeVarint(node, 0, NODE_TAG), messageBytes)
  at = writeVarint(node, writeVarint(node, at, TYPE_TAG), TYPE_NUMBERS[type])
  writeVarint(node, writeVarint(node, at, DATA_TAG), chunk.byteLength)
  writeVarint(node, writeVarint(node, front + chunk.byteLength, FILESIZE_TAG), chunk.byteLength)
  return node
}
