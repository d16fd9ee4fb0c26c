import type { AbortOptions } from '@holdfast/core'
import type { CID } from 'multiformats/cid'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Pin } from '../pin-record.ts'
import type { PinSet } from '../pin-set.ts'
import { type Edge, type Holder, WAYS } from './edge-format.ts'
import type { ReferenceStore } from './reference-store.ts'
import type { References } from './references.ts'

/** A pin that keeps a block, and how. */
export interface Keeping {
  readonly pin: Pin
  /** A shortest path of links: the root of the pin first, the block last. */
  readonly path: readonly CID[]
}

/** Edges that are followed upward at most: a second of work, and about 100 MB for the DAG nodes on the way. */
export const MAX_EDGES_FOLLOWED = 262_144

/** Edges that are followed before others have a turn. */
const EDGES_PER_TURN = 1024

/**
 * Yields every pin that keeps the block, under any codec, those with the shortest paths first.
 *
 * Walks the edges upward and reads no block.
 *
 * @returns whether all were found: after `MAX_EDGES_FOLLOWED` edges it ends.
 * @throws as `References.settle`.
 */
export async function * keepersOf ({ references, pins }: { readonly references: References, readonly pins: PinSet }, cid: CID, { signal }: AbortOptions = {}): AsyncGenerator<Keeping, boolean> {
  signal?.throwIfAborted()
  await references.settle({ signal })
  const climb = new Climb(references.store)
  climb.reach(cid.multihash.bytes, undefined)
  for (let edge = climb.next(); edge !== undefined; edge = climb.next()) {
    if (climb.edgeCount % EDGES_PER_TURN === 0) {
      await nextTurn()
      signal?.throwIfAborted()
    }
    const holder = references.store.holder(edge.parentId)
    if (holder?.kind === 'node') climb.reach(holder.multihash, edge, holder)
    if (holder?.kind !== 'pin') continue
    const pin = [...pins.list({ cid: holder.cid })].find(({ id }) => id === holder.pinId)
    if (pin !== undefined) yield { pin, path: pathOf(edge) }
  }
  return !climb.isCutShort
}

/** An edge and the one that it was reached from, below. */
interface Step extends Edge {
  readonly below: Step | undefined
}

/** The way up, breadth first: every DAG node once. */
class Climb {
  readonly #store: ReferenceStore
  readonly #reached = new Set<number>()
  #steps: Step[] = []
  #at = 0
  edgeCount = 0
  isCutShort = false

  constructor (store: ReferenceStore) {
    this.#store = store
  }

  next (): Step | undefined {
    const step = this.#steps[this.#at++]
    if (this.#at > EDGES_PER_TURN) {
      this.#steps = this.#steps.slice(this.#at)
      this.#at = 0
    }
    return step
  }

  /** Goes on with the parents of a DAG node; of the block that is asked for, under every codec. */
  reach (multihash: Uint8Array, below: Step | undefined, holder?: Extract<Holder, { kind: 'node' }>): void {
    for (const way of holder === undefined ? WAYS : [holder.way]) {
      for (const edge of this.#store.edges.edgesTo(multihash, way)) {
        if (this.#reached.has(edge.parentId)) continue
        if (this.edgeCount >= MAX_EDGES_FOLLOWED) {
          this.isCutShort = true
          return
        }
        this.edgeCount++
        this.#reached.add(edge.parentId)
        this.#steps.push({ ...edge, below })
      }
    }
  }
}

function pathOf (step: Step): CID[] {
  const path: CID[] = []
  for (let at: Step | undefined = step; at !== undefined; at = at.below) path.push(at.cid)
  return path
}
