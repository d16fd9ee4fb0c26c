import type { BlockReader } from '@holdfast/blockstore'
import { CODECS, SHA2_256 } from '@holdfast/core'
import { type FileLeaf, fileLeaves, framedByteLength, leafFrame } from '@holdfast/dag'
import type { CID } from 'multiformats/cid'
import type { ApiNode } from '../api-node.ts'
import type { Exchange } from '../exchange.ts'
import type { PlacedBlock, PlacesEvent } from '../operations.ts'

/** Shortest content that is told by its places, in bytes: below, a round of opening and reading costs more than sending. */
export const MIN_PLACED_BYTES: number = 4 * 1024 * 1024

/** Blocks of one event: 64 MiB of content of 1 MiB each, some 16 KiB of JSON. */
const BLOCKS_PER_EVENT = 64

export interface FileSpan {
  readonly cid: CID
  readonly span: { readonly start: number, readonly end: number }
}

/**
 * Tells a caller on this machine where the content of a file lies, so that it reads it without our help.
 *
 * Returns how many bytes of the span were told or sent: it ends at the first block that lies in no file, whose hash the caller does not
 * know, or that is cache: a cached block is kept for being read through us.
 */
export async function sendPlaces ({ engine, cache }: Pick<ApiNode, 'engine' | 'cache'>, blocks: BlockReader, { cid, span }: FileSpan, exchange: Exchange<PlacesEvent>): Promise<number> {
  if (engine.placeOf === undefined || span.end - span.start < MIN_PLACED_BYTES) return 0
  const { signal } = exchange
  const placed = (leaf: FileLeaf): PlacedBlock | undefined => {
    const { code, digest } = leaf.cid.multihash
    const place = code === SHA2_256 && digest.byteLength === SHA256_BYTES && !cache.has(leaf.cid) ? engine.placeOf?.(leaf.cid) : undefined
    const frame = leafFrame(leaf)
    if (place === undefined || frame === undefined || framedByteLength(leaf, frame) !== place.byteLength) return undefined
    const [from, to] = [Math.max(0, span.start - leaf.start), Math.min(leaf.byteLength, span.end - leaf.start)]
    return { ...place, sha256: base64(digest), head: base64(frame.head), tail: base64(frame.tail), from, to }
  }
  let told: PlacedBlock[] = []
  const tell = async (): Promise<void> => {
    if (told.length > 0) await exchange.emit({ places: told })
    told = []
  }
  let end = span.start
  // Only a node that is here and shorter than what is below it is opened: the rest is for the reader that reads ahead.
  const isLeaf = (leaf: FileLeaf): boolean => leaf.cid.code === CODECS.raw || leaf.byteLength <= (engine.placeOf?.(leaf.cid)?.byteLength ?? Infinity)
  for await (const part of fileLeaves(blocks, cid, { span, signal, isLeaf })) {
    if ('bytes' in part) {
      await tell()
      await exchange.send(part.bytes)
      end = part.start + part.bytes.byteLength
      continue
    }
    const block = placed(part)
    if (block === undefined) break
    told.push(block)
    end = part.start + block.to
    if (told.length === BLOCKS_PER_EVENT) await tell()
  }
  await tell()
  return end - span.start
}

const SHA256_BYTES = 32

function base64 (bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64')
}
