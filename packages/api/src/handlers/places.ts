import type { BlockReader } from '@holdfast/blockstore'
import type { BlockPlace, PlacedBlock } from '@holdfast/blockstore/places'
import { MIN_PLACED_BYTES, placedParts } from '@holdfast/dag'
import type { CID } from 'multiformats/cid'
import type { ApiNode } from '../api-node.ts'
import type { Exchange } from '../exchange.ts'
import type { PlacesEvent } from '../operations.ts'

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
  const { placeOf } = engine
  const known = (cid: CID): BlockPlace | undefined => cache.has(cid) ? undefined : placeOf.call(engine, cid)
  let told: PlacedBlock[] = []
  const tell = async (): Promise<void> => {
    if (told.length > 0) await exchange.emit({ places: told, totalByteLength: span.end - span.start })
    told = []
  }
  let end = span.start
  try {
    for await (const part of placedParts(blocks, cid, { span, placeOf: known, signal })) {
      if ('bytes' in part) {
        await tell()
        await exchange.send(part.bytes)
        end = part.start + part.bytes.byteLength
        continue
      }
      told.push(part.block)
      end = part.start + part.block.to
      if (told.length === BLOCKS_PER_EVENT) await tell()
    }
  } catch {
    // Whoever goes on from here through the store finds out what is wrong.
    signal.throwIfAborted()
  }
  await tell()
  return end - span.start
}
