/**
 * Answers with a CAR: the blocks of the path, then those at its end.
 *
 * @see https://specs.ipfs.tech/http-gateways/trustless-gateway/ §"CAR Responses"
 */
import type { BlockReader } from '@holdfast/blockstore'
import { encodeCarHeader, encodeCarSection } from '@holdfast/car'
import { type Block, HoldfastError, IDENTITY } from '@holdfast/core'
import { entryOf, type Resolution, requireBlock, resolvePath, walkDag } from '@holdfast/dag'
import { hash } from 'node:crypto'
import { answerPreconditions } from './byte-answer.ts'
import { entityBlocks } from './car-entity.ts'
import { type CarRequest, entityRangeOf, parseCarRequest } from './car-request.ts'
import type { GatewayResponse, Header } from './exchange.ts'
import { dispositionHeader, IMMUTABLE, NOSNIFF, rootsHeader } from './headers.ts'
import type { ContentPlan } from './plan.ts'
import { coalesce } from './primed-body.ts'

/** Sections are joined up to this many bytes, so that a CAR of tiny blocks is not written one by one. */
const COALESCED_BYTES: number = 32 * 1024

export interface CarAnswerOptions {
  readonly maxBlockCount: number
}

/** Answers with the CAR that the request describes; the blocks are read while the body is pulled. */
export async function answerCar (plan: ContentPlan, blocks: BlockReader, options: CarAnswerOptions): Promise<GatewayResponse> {
  const car = parseCarRequest(plan.query, plan.choice)
  const etag = carEtag(plan, car)
  const notSent = answerPreconditions(plan, { etag }, [IMMUTABLE])
  if (notSent !== undefined) return notSent

  const resolution = await resolvePath(blocks, plan.root, plan.path.segments, plan.request)
  const terminus = await requireBlock(blocks, resolution.cid, plan.request)
  const body = { read: () => coalesce(carBytes(resolution.cid, carBlocks(plan, blocks, { car, resolution, terminus }), options), COALESCED_BYTES) }
  requireRangeInside(car, terminus)
  return { status: 200, headers: [...plan.headers, ...carHeaders(plan, car, resolution), ['Etag', etag]], body: plan.isHead ? undefined : body }
}

function carHeaders (plan: ContentPlan, { duplicates }: CarRequest, { cid, cids }: Resolution): Header[] {
  return [
    IMMUTABLE,
    ...rootsHeader(cids),
    ['Content-Type', `application/vnd.ipld.car; version=1; order=dfs; dups=${duplicates ? 'y' : 'n'}`],
    ...dispositionHeader(plan.query, { type: 'attachment', fallbackName: `${cid}.car` }),
    // A stream whose length is not known beforehand cannot be read in ranges; entity-bytes is for that.
    ['Accept-Ranges', 'none'],
    NOSNIFF
  ]
}

/** Weak, since another gateway may order the same blocks otherwise; varies by everything that changes which blocks are sent. */
function carEtag ({ root, path }: ContentPlan, { scope, entityBytes, duplicates }: CarRequest): string {
  const facts = JSON.stringify([path.segments, scope, entityBytes?.from, entityBytes?.to, duplicates])
  return `W/"${root}.car.${hash('sha256', facts, 'hex').slice(0, 16)}"`
}

/** Says 400 before the first byte when `entity-bytes` lies outside of the file. */
function requireRangeInside ({ scope, entityBytes }: CarRequest, terminus: Block): void {
  if (scope !== 'entity' || entityBytes === undefined) return
  const entry = entryOf(terminus)
  if (entry.kind === 'file') entityRangeOf(entityBytes, entry.byteLength)
}

async function * carBlocks (plan: ContentPlan, blocks: BlockReader, { car, resolution, terminus }: { car: CarRequest, resolution: Resolution, terminus: Block }): AsyncIterable<Block> {
  const { signal } = plan.request
  yield * resolution.blocks
  switch (car.scope) {
    case 'block':
      yield terminus
      break
    case 'entity': {
      const entry = entryOf(terminus)
      const range = entry.kind === 'file' && car.entityBytes !== undefined ? entityRangeOf(car.entityBytes, entry.byteLength) : undefined
      yield * entityBlocks(blocks, terminus, entry, { range, duplicates: car.duplicates, signal })
      break
    }
    case 'all':
      // The number of blocks is bounded below, so a chain of any depth may be walked.
      yield * walkDag(blocks, [terminus.cid], { dedupe: !car.duplicates, maxDepth: Number.POSITIVE_INFINITY, signal })
  }
}

/** The path cannot repeat a block of what is below its end: a DAG has no cycles. */
async function * carBytes (root: Block['cid'], blocks: AsyncIterable<Block>, { maxBlockCount }: CarAnswerOptions): AsyncIterable<Uint8Array> {
  yield encodeCarHeader([root])
  let blockCount = 0
  for await (const block of blocks) {
    if (++blockCount > maxBlockCount) throw new HoldfastError('LIMIT', `CAR of ${root} has more than ${maxBlockCount} blocks`, { root: root.toString(), maxBlockCount })
    // Identity CIDs carry their bytes in the link: the specification keeps them out.
    if (block.cid.multihash.code !== IDENTITY) yield * encodeCarSection(block)
  }
}
