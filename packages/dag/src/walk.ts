import type { BlockReader } from '@holdfast/blockstore'
import { type AbortOptions, type Block, CODECS, HoldfastError, isErrorCode, linksOf } from '@holdfast/core'
import type { CID } from 'multiformats/cid'
import { DigestSet } from './digest-set.ts'
import { ReadAheadStack } from './read-ahead-stack.ts'
import { withCid } from './unixfs-node.ts'

/**
 * Deepest link below a root that a walk follows unless told otherwise.
 *
 * Several times what UnixFS can nest (128 path segments, 21 shard levels, 32 file levels); long chains
 * of dag-cbor entries need more, and may ask for it, since a walk costs no stack.
 */
export const DEFAULT_MAX_DEPTH = 1024

/** Most links that wait for their turn, about 64 MB: a hostile chain of full nodes would hold millions. */
export const MAX_LINKS_WAITING = 262_144

export interface WalkOptions extends AbortOptions {
  /** Deepest link to follow; the roots have depth 0. @default DEFAULT_MAX_DEPTH */
  maxDepth?: number | undefined
  /** Blocks to ask for at once. @default DEFAULT_CONCURRENCY */
  concurrency?: number | undefined
  /**
   * Whether each multihash comes only once, and each DAG node is entered once. Without it, links that repeat
   * can make a walk endless for all practical purposes: the consumer must count. @default true
   */
  dedupe?: boolean | undefined
  /** Asked for each CID, perhaps more than once: where it answers `true`, the block and all below it are left out. */
  skip?: ((cid: CID) => boolean) | undefined
  /** Told of each link whose block is absent; the walk goes on beside it. @default the walk fails */
  onAbsent?: (() => void) | undefined
}

export interface VisitOptions extends WalkOptions {
  /** Asked of raw blocks, which have no links: one that nobody needs the bytes of is not read. @default all are read */
  isUnread?: ((cid: CID) => boolean) | undefined
}

/** A block that a walk came to; without its bytes where those were not to be read. */
export interface VisitedBlock {
  readonly cid: CID
  readonly block: Block | undefined
}

interface Visit {
  /** What is read; `undefined` where nothing is. */
  readonly cid: CID | undefined
  readonly at: CID
  readonly depth: number
}

/**
 * Yields every block below `roots`, depth first, a parent before its children and those in the order of its links.
 *
 * Holds a bounded number of blocks read ahead, the links that wait, and 16 to 64 bytes for each block that it
 * passed. Blocks of unknown codecs have no links. Blocks that identity CIDs carry are yielded too.
 *
 * @throws `NOT_FOUND` with `details.reason` `'no-block'` when a block is absent and nobody wants to be told, `INVALID` when one is not of its
 * codec, `LIMIT` above `maxDepth` or `MAX_LINKS_WAITING`.
 */
export async function * walkDag (blocks: BlockReader, roots: readonly CID[], options: WalkOptions = {}): AsyncIterable<Block> {
  for await (const { block } of visitDag(blocks, roots, options)) if (block !== undefined) yield block
}

/** The same for whoever needs the bytes of some blocks only. */
export async function * visitDag (blocks: BlockReader, roots: readonly CID[], options: VisitOptions = {}): AsyncIterable<VisitedBlock> {
  const { maxDepth = DEFAULT_MAX_DEPTH, concurrency, dedupe = true, skip = () => false, isUnread, onAbsent, signal } = options
  const visited = dedupe ? new VisitedNodes() : undefined
  const isNeeded = ({ at }: Visit): boolean => visited?.has(at) !== true && !skip(at)
  const visit = (at: CID, depth: number): Visit => ({ at, cid: at.code === CODECS.raw && isUnread?.(at) === true ? undefined : at, depth })

  using stack = new ReadAheadStack<Visit>(blocks, { concurrency, signal, isNeeded })
  stack.push(roots.map((cid) => visit(cid, 0)))
  for (let next = await take(stack, onAbsent); next !== undefined; next = await take(stack, onAbsent)) {
    const { item: { at: cid, depth }, block } = next
    if (visited?.add(cid) !== false) yield { cid, block }
    if (block === undefined) continue

    const children = withCid(cid, () => linksOf(block)).map((child) => visit(child, depth + 1)).filter(isNeeded)
    if (children.length > 0 && depth >= maxDepth) throw new HoldfastError('LIMIT', `Links are nested deeper than ${maxDepth} at ${cid}`, { cid: cid.toString(), maxDepth })
    if (stack.count + children.length > MAX_LINKS_WAITING) throw new HoldfastError('LIMIT', `More than ${MAX_LINKS_WAITING} links wait at ${cid}`, { cid: cid.toString() })
    stack.push(children)
  }
}

async function take (stack: ReadAheadStack<Visit>, onAbsent: (() => void) | undefined): ReturnType<typeof stack.pop> {
  for (;;) {
    try {
      return await stack.pop()
    } catch (err) {
      if (onAbsent === undefined || !isErrorCode(err, 'NOT_FOUND') || err.details.reason !== 'no-block') throw err
      onAbsent()
    }
  }
}

/** Codecs of blocks that may have links. */
const TRAVERSED: ReadonlySet<number> = new Set([CODECS.dagPb, CODECS.dagCbor, CODECS.dagJson])

/**
 * What a walk has passed.
 *
 * The codec decides which links bytes have: the same bytes met first as raw and then as dag-pb must
 * still be entered, or a link of another codec would hide a whole DAG from a pin.
 */
class VisitedNodes {
  readonly #passed = new DigestSet()
  readonly #enteredByCodec = new Map<number, DigestSet>()

  /** Reports whether nothing new can come of this CID. */
  has (cid: CID): boolean {
    return TRAVERSED.has(cid.code) ? this.#enteredByCodec.get(cid.code)?.has(cid) === true : this.#passed.has(cid)
  }

  /** Marks the CID as passed; reports whether its multihash was not passed under any codec before. */
  add (cid: CID): boolean {
    if (TRAVERSED.has(cid.code)) this.#entered(cid.code).add(cid)
    return this.#passed.add(cid)
  }

  #entered (codec: number): DigestSet {
    const entered = this.#enteredByCodec.get(codec) ?? new DigestSet()
    this.#enteredByCodec.set(codec, entered)
    return entered
  }
}
