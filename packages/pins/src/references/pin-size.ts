import type { Blockstore } from '@holdfast/blockstore'
import { type AbortOptions, HoldfastError, multihashKey } from '@holdfast/core'
import { DigestSet } from '@holdfast/dag'
import type { CID } from 'multiformats/cid'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { LEAF, wayOf } from './edge-format.ts'
import type { ReferenceStore } from './reference-store.ts'
import type { References } from './references.ts'
import { rootOf } from './retain.ts'

/** Blocks and their bytes. */
export interface BlockSum {
  readonly blockCount: number
  readonly byteLength: number
}

/** What a kept DAG takes: all of it is either shared with others that are kept too, or its own. */
export interface DagSize {
  readonly total: BlockSum
  /** What other pins, or DAGs around this one, keep as well. */
  readonly shared: BlockSum
  /** What only this DAG keeps: it would go with it. */
  readonly own: BlockSum
}

/** Sizes that are remembered for as long as no pin changes. */
const MAX_KNOWN_SIZES = 256

/** Blocks that are looked at before others have a turn. */
const BLOCKS_PER_TURN = 512

/**
 * Tells how large kept DAGs are.
 *
 * The answer takes a walk over the edges, which reads no block of an engine that knows lengths; it is remembered until the next
 * change of a pin.
 */
export class DagSizes {
  readonly #deps: { readonly blocks: Blockstore, readonly references: References }
  readonly #known = new Map<string, DagSize>()
  #version = 0

  constructor (deps: { readonly blocks: Blockstore, readonly references: References }) {
    this.#deps = deps
  }

  /**
   * Holds 16 to 64 bytes for each block of the DAG meanwhile, and about 100 for each that is linked more than once.
   *
   * @throws `NOT_FOUND` when nothing keeps the DAG; as `References.settle`.
   */
  async of (asked: CID, { signal }: AbortOptions = {}): Promise<DagSize> {
    const { references } = this.#deps
    const { store } = references
    await references.settle({ signal })
    const cid = store.edges.hasParent(asked) ? asked : rootOf({ kind: 'direct', cid: asked })
    if (!store.edges.hasParent(cid)) throw new HoldfastError('NOT_FOUND', `${asked} is not kept by any pin`, { reason: 'not-pinned', cid: asked.toString() })
    if (store.version !== this.#version) this.#known.clear()
    this.#version = store.version
    const key = keyOf(cid)
    const known = this.#known.get(key)
    if (known !== undefined) return known
    const size = await this.#measure(cid, signal)
    if (store.version === this.#version && this.#known.size < MAX_KNOWN_SIZES) this.#known.set(key, size)
    return size
  }

  async #measure (cid: CID, signal: AbortSignal | undefined): Promise<DagSize> {
    const { store } = this.#deps.references
    const own = await this.#sum(blocksOfOwn(store, cid), signal)
    const total = await this.#sum(blocksBelow(store, cid), signal)
    return { total, own, shared: { blockCount: total.blockCount - own.blockCount, byteLength: total.byteLength - own.byteLength } }
  }

  async #sum (cids: Iterable<CID>, signal: AbortSignal | undefined): Promise<BlockSum> {
    const { blocks } = this.#deps
    let blockCount = 0
    let byteLength = 0
    for (const cid of cids) {
      byteLength += await blocks.byteLengthOf?.(cid, { signal }) ?? (await blocks.get(cid, { signal }))?.bytes.byteLength ?? 0
      if (++blockCount % BLOCKS_PER_TURN === 0) await nextTurn()
      signal?.throwIfAborted()
    }
    return { blockCount, byteLength }
  }
}

/** Every block of the DAG once. */
function * blocksBelow (store: ReferenceStore, root: CID): Generator<CID> {
  const passed = new DigestSet()
  const entered = new Set<string>()
  const waiting = [root]
  for (let cid = waiting.pop(); cid !== undefined; cid = waiting.pop()) {
    if (passed.add(cid)) yield cid
    if (wayOf(cid) === LEAF || entered.has(keyOf(cid))) continue
    entered.add(keyOf(cid))
    waiting.push(...childrenOf(store, cid))
  }
}

/**
 * The blocks that would go if nothing led to the DAG any more: each once all edges to it were taken away, as a release does it
 * (Kahn's algorithm for topological orders).
 */
function * blocksOfOwn (store: ReferenceStore, root: CID): Generator<CID> {
  const takenByNode = new Map<string, number>()
  const takenByBlock = new Map<string, number>()
  const isLast = (taken: Map<string, number>, key: string, count: number): boolean => {
    if (count <= 1) return true
    const takenCount = (taken.get(key) ?? 0) + 1
    if (takenCount < count) taken.set(key, takenCount)
    else taken.delete(key)
    return takenCount === count
  }
  const waiting = [root]
  // What led to the root is taken away at once; other readings of its bytes may keep the block.
  if (store.edges.parentCount(root) === store.edges.edgeCount(root)) yield root
  else takenByBlock.set(multihashKey(root), store.edges.parentCount(root))
  for (let node = waiting.pop(); node !== undefined; node = waiting.pop()) {
    for (const cid of childrenOf(store, node)) {
      if (isLast(takenByBlock, multihashKey(cid), store.edges.edgeCount(cid))) yield cid
      if (wayOf(cid) !== LEAF && isLast(takenByNode, keyOf(cid), store.edges.parentCount(cid))) waiting.push(cid)
    }
  }
}

function childrenOf (store: ReferenceStore, cid: CID): readonly CID[] {
  return wayOf(cid) === LEAF ? [] : store.node(cid)?.children ?? []
}

function keyOf (cid: CID): string {
  return `${wayOf(cid)} ${multihashKey(cid)}`
}
