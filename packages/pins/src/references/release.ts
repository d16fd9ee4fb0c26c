import type { CID } from 'multiformats/cid'
import { type Edge, LEAF, wayOf } from './edge-format.ts'
import { rootOf } from './retain.ts'
import type { ReferenceStore } from './reference-store.ts'

/** Edges removed in one change: some milliseconds of work, in which nothing else runs. */
const EDGES_PER_CHANGE = 2048

/** Takes pins out of the index, as far as they are in it; what they kept is released later, by `releaseSome`. */
export function dropPins (store: ReferenceStore, pinIds: readonly string[]): void {
  if (pinIds.length === 0) return
  const garbage: Uint8Array[] = []
  store.change(() => {
    for (const pinId of pinIds) {
      const pin = store.pin(pinId)
      if (pin === undefined) continue
      store.removePin(pinId, pin.nodeId)
      loosen(store, { parentId: pin.nodeId, cid: rootOf(pin) }, garbage)
    }
    if (garbage.length > 0) store.addGarbage(garbage)
  })
}

/**
 * Releases some of the DAG nodes that no edge leads to any more: their own edges go, which may free others. Blocks that
 * lost their last edge are noted as garbage in the same step.
 *
 * Costs what is freed, and goes on after a crash where it was.
 *
 * @param isHeld Whether a lease keeps the DAG below a node: it waits.
 * @returns Edges that were removed; 0 when nothing is left to release.
 */
export function releaseSome (store: ReferenceStore, isHeld: (cid: CID) => boolean): number {
  const nodes: CID[] = []
  let edgeCount = 0
  for (const cid of store.looseNodes()) {
    if (isHeld(cid)) continue
    nodes.push(cid)
    edgeCount += 1 + (store.node(cid)?.children.length ?? 0)
    if (edgeCount >= EDGES_PER_CHANGE) break
  }
  if (nodes.length === 0) return 0
  store.change(() => {
    const garbage: Uint8Array[] = []
    for (const cid of nodes) releaseNode(store, cid, garbage)
    if (garbage.length > 0) store.addGarbage(garbage)
  })
  return edgeCount
}

function releaseNode (store: ReferenceStore, cid: CID, garbage: Uint8Array[]): void {
  store.removeLoose(cid)
  if (store.hasParent(cid)) return
  const node = store.node(cid)
  if (node !== undefined) {
    store.removeNode(cid, node.id)
    for (const child of node.children) loosen(store, { parentId: node.id, cid: child }, garbage)
  }
  if (!store.isReferenced(cid)) garbage.push(cid.multihash.bytes)
}

function loosen (store: ReferenceStore, edge: Edge, garbage: Uint8Array[]): void {
  const { cid } = edge
  store.removeEdge(edge)
  if (store.hasParent(cid)) return
  if (wayOf(cid) !== LEAF) store.putLoose(cid)
  else if (!store.isReferenced(cid)) garbage.push(cid.multihash.bytes)
}
