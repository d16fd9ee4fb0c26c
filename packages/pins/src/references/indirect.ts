import type { AbortOptions } from '@holdfast/core'
import type { CID } from 'multiformats/cid'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { PinSet } from '../pin-set.ts'
import { type Edge, WAYS } from './edge-format.ts'
import type { ReferenceStore } from './reference-store.ts'
import type { References } from './references.ts'

/** A block that is kept because it lies below a pin. */
export interface IndirectPin {
  readonly cid: CID
  /** A recursive pin that keeps it: the first by way of the parents that were found first. */
  readonly root: CID
}

/** Blocks that are looked up together, before others have a turn. */
const BLOCKS_PER_PAGE = 1024

/** Roots that are remembered by DAG node: about 6 MB. */
const MAX_KNOWN_ROOTS = 65_536

/**
 * Yields each block that is kept only for lying below a recursive pin, once; roots of pins are left out, as Kubo does.
 *
 * Answered from the edges, in no order, without reading a block. Blocks that come or go meanwhile may or may not appear.
 *
 * @throws as `References.settle`.
 */
export async function * indirectPins ({ references, pins }: { readonly references: References, readonly pins: PinSet }, { signal }: AbortOptions = {}): AsyncIterable<IndirectPin> {
  signal?.throwIfAborted()
  await references.settle({ signal })
  const { store } = references
  const roots = new Roots(store)
  for (const [index, way] of WAYS.entries()) {
    const listed = WAYS.slice(0, index).filter((other) => store.edges.hasEdges(other))
    for (let page = store.edges.firstEdges(way, BLOCKS_PER_PAGE); page.length > 0; page = store.edges.firstEdges(way, BLOCKS_PER_PAGE, page.at(-1)?.cid)) {
      for (const { cid, parentId } of page) {
        if (pins.isPinned(cid) || listed.some((other) => store.edges.hasParent(cid, other))) continue
        const root = roots.above(parentId)
        if (root !== undefined) yield { cid, root }
      }
      await nextTurn()
      signal?.throwIfAborted()
    }
  }
}

/** Tells of one block whether it is kept only for lying below a recursive pin, and by which. */
export async function indirectPin ({ references, pins }: { readonly references: References, readonly pins: PinSet }, cid: CID, { signal }: AbortOptions = {}): Promise<IndirectPin | undefined> {
  signal?.throwIfAborted()
  await references.settle({ signal })
  if (pins.isPinned(cid)) return undefined
  const roots = new Roots(references.store)
  for (const way of WAYS) {
    const edge = references.store.edges.firstEdge(cid.multihash.bytes, way)
    const root = edge === undefined ? undefined : roots.above(edge.parentId)
    if (edge !== undefined && root !== undefined) return { cid: edge.cid, root }
  }
  return undefined
}

/** Finds a root above a DAG node. */
class Roots {
  readonly #store: ReferenceStore
  readonly #known = new Map<number, CID>()

  constructor (store: ReferenceStore) {
    this.#store = store
  }

  above (id: number): CID | undefined {
    const passed: number[] = []
    for (let at: number | undefined = id; at !== undefined; at = this.#parentOf(at)?.parentId) {
      const known = this.#known.get(at) ?? this.#pinned(at)
      if (known !== undefined) return this.#remember(passed.length === 0 ? [at] : passed, known)
      if (passed.length < MAX_KNOWN_ROOTS) passed.push(at)
    }
    return undefined
  }

  #pinned (id: number): CID | undefined {
    const holder = this.#store.holder(id)
    return holder?.kind === 'pin' ? holder.cid : undefined
  }

  #parentOf (id: number): Edge | undefined {
    const holder = this.#store.holder(id)
    return holder?.kind === 'node' ? this.#store.edges.firstEdge(holder.multihash, holder.way) : undefined
  }

  #remember (ids: readonly number[], root: CID): CID {
    if (this.#known.size + ids.length > MAX_KNOWN_ROOTS) this.#known.clear()
    for (const id of ids) this.#known.set(id, root)
    return root
  }
}
