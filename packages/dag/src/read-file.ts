import type { BlockReader } from '@holdfast/blockstore'
import { type AbortOptions, type Block, HoldfastError } from '@holdfast/core'
import type { CID } from 'multiformats/cid'
import { entryOf, requireBlock } from './entry.ts'
import { FileWindow } from './file-window.ts'
import { MIN_PLACED_BYTES, type PlaceOf, readPlaced } from './placed-parts.ts'

/** Bytes of a file that are read ahead of the consumer unless told otherwise: what a stream may cost in memory. */
export const DEFAULT_WINDOW_BYTES: number = 4 * 1024 * 1024

export interface ReadFileOptions extends AbortOptions {
  /** First byte to read. @default 0 */
  offset?: number | undefined
  /** Most bytes to read. @default all that follow */
  byteLength?: number | undefined
  /** Most bytes that are read ahead. One block is always allowed. @default DEFAULT_WINDOW_BYTES */
  windowBytes?: number | undefined
  /**
   * Where blocks lie in files of this machine. Long content that lies there is read past `blocks`, checked as they would, into memory
   * that is used again: with this a piece is valid until the next one is asked for.
   */
  placeOf?: PlaceOf | undefined
}

/**
 * Yields the bytes of a raw block or UnixFS file in order, in pieces no longer than a block.
 *
 * Reads only the blocks that the range needs. Pulls: when the consumer stalls, at most the window is in
 * memory and nothing more is asked for; when it stops, what was asked for is aborted. The window begins
 * with two blocks and grows while the consumer waits for bytes. A range beyond the end is cut short.
 *
 * @throws `INVALID` when `cid` is not a file or a part of it is not, `NOT_FOUND` when a block that the range
 * needs is absent, `CORRUPT` when lengths declared and found differ, `LIMIT` above `MAX_FILE_LEVELS`. A block
 * that fails ahead of what the consumer takes fails nothing.
 */
export async function * readFile (blocks: BlockReader, cid: CID, options: ReadFileOptions = {}): AsyncIterable<Uint8Array> {
  yield * readFileFrom(blocks, await requireBlock(blocks, cid, { signal: options.signal }), options)
}

/** Reads a file as `readFile` does, from its root block, which is here already. */
export async function * readFileFrom (blocks: BlockReader, root: Block, options: ReadFileOptions = {}): AsyncIterable<Uint8Array> {
  const { offset = 0, byteLength: wanted, windowBytes = DEFAULT_WINDOW_BYTES, placeOf, signal } = options
  requireCount('offset', offset)
  if (wanted !== undefined) requireCount('byteLength', wanted)
  requireCount('windowBytes', windowBytes)

  const entry = entryOf(root)
  if (entry.kind !== 'file') throw new HoldfastError('INVALID', `${root.cid} is not a file`, { cid: root.cid.toString(), kind: entry.kind })
  const { byteLength } = entry
  const span = { start: offset, end: Math.min(offset + (wanted ?? byteLength), byteLength) }
  if (span.start >= span.end) return

  let start = span.start
  if (placeOf !== undefined && span.end - span.start >= MIN_PLACED_BYTES) {
    for await (const piece of readPlaced(blocks, root.cid, { span, placeOf, signal })) {
      yield piece
      start += piece.byteLength
    }
    if (start === span.end) return
  }
  using window = new FileWindow(blocks, { block: root, byteLength }, { span: { start, end: span.end }, windowBytes, signal })
  for (let piece = await window.next(); piece !== undefined; piece = await window.next()) yield piece
}

function requireCount (name: string, value: number): void {
  if (!Number.isSafeInteger(value) || value < 0) throw new HoldfastError('INVALID', `The ${name} of a read must be a whole number of bytes, not ${value}`, { [name]: value })
}
