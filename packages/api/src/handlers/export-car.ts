import type { BlockReader } from '@holdfast/blockstore'
import { encodeCarHeader, encodeCarSection, encodeSectionHead, gatherParts } from '@holdfast/car'
import { SHA2_256 } from '@holdfast/core'
import { requireBlock, visitDag, type VisitedBlock } from '@holdfast/dag'
import type { CID } from 'multiformats/cid'
import type { ApiNode } from '../api-node.ts'
import type { Exchange } from '../exchange.ts'
import type { ArgsOf, EventOf, PlacedSection } from '../operations.ts'
import { offlineNode } from './offline-node.ts'
import { openFound } from './open-reader.ts'
import { locate } from './read.ts'

/** Shortest block that is told by its place, in bytes: a read of its own costs more than sending a short one. */
export const MIN_PLACED_BLOCK_BYTES: number = 64 * 1024

/** Blocks of one event: of 1 MiB each, 64 MiB of content in some 20 KiB of JSON. */
const SECTIONS_PER_EVENT = 64

/**
 * Sends the DAG below a path as a CARv1 whose blocks come depth first, each once. With `localOnly` no peer is asked, and
 * what is absent below the root is left out with what is below it.
 *
 * With `places` long raw blocks are not sent: the caller, who is on this machine, is told where they lie and reads them itself.
 */
export async function dagExport (node: ApiNode, { path, localOnly = false, places = false }: ArgsOf<'dag-export'>, exchange: Exchange<EventOf<'dag-export'>>): Promise<void> {
  const { signal } = exchange
  const { found: { cid }, reader } = await openFound(localOnly ? offlineNode(node) : node, path, exchange, { walk: true, find: async (blocks) => await locate(blocks, path, signal) })
  using blocks = reader
  if (localOnly) await requireBlock(blocks, cid, { signal })
  const placed = places ? (leaf: CID) => placeOf(node, leaf) : () => undefined
  const visits = visitDag(blocks, [cid], { signal, isUnread: (leaf) => placed(leaf) !== undefined, ...(localOnly ? { onAbsent: () => {} } : {}) })
  let told: PlacedSection[] = []
  const tell = async (): Promise<void> => {
    if (told.length > 0) await exchange.emit({ sections: told })
    told = []
  }
  for await (const part of gatherParts(partsOf(cid, visits, { blocks, placed, signal }))) {
    if (part instanceof Uint8Array) {
      await tell()
      await exchange.send(part)
    } else if (told.push(part) === SECTIONS_PER_EVENT) await tell()
  }
  await tell()
}

interface Placing {
  readonly blocks: BlockReader
  readonly placed: (leaf: CID) => PlacedSection | undefined
  readonly signal: AbortSignal
}

async function * partsOf (root: CID, visits: AsyncIterable<VisitedBlock>, { blocks, placed, signal }: Placing): AsyncGenerator<Uint8Array | PlacedSection> {
  yield encodeCarHeader([root])
  for await (const { cid, block } of visits) {
    const place = block === undefined ? placed(cid) : undefined
    if (place !== undefined) yield place
    // It was moved or went since it was not read.
    else yield * encodeCarSection(block ?? await requireBlock(blocks, cid, { signal }))
  }
}

/** Where a long raw block lies; not of one that is cache: that is kept for being read through us. */
function placeOf ({ engine, cache }: Pick<ApiNode, 'engine' | 'cache'>, cid: CID): PlacedSection | undefined {
  const { code, digest } = cid.multihash
  const place = code === SHA2_256 && digest.byteLength === SHA256_BYTES && !cache.has(cid) ? engine.placeOf?.(cid) : undefined
  if (place === undefined || place.byteLength < MIN_PLACED_BLOCK_BYTES) return undefined
  const section = Buffer.from(encodeSectionHead(cid, place.byteLength)).toString('base64')
  return { ...place, cid: cid.toString(), section, sha256: Buffer.from(digest).toString('base64'), head: '', tail: '', from: 0, to: place.byteLength }
}

const SHA256_BYTES = 32
