import type { CID } from 'multiformats/cid'
import { type Edge, LEAF, wayOf } from './edge-format.ts'
import { rootOf } from './retain.ts'
import type { ReferenceStore } from './reference-store.ts'

/** Edges removed in one change: some 20 ms of work, in which nothing else runs. In fewer the same pages would be written more often. */
const EDGES_PER_CHANGE = 4096

/** DAG nodes that are looked up for one change. */
const NODES_PER_CHANGE = 512

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
    if (garbage.length > 0) store.addGarbage(garbage, { isUnreferenced: true })
  })
}

/**
 * Releases some of the DAG nodes that no edge leads to any more: their own edges go, which may free others. Blocks that
 * lost their last edge are noted as garbage in the same step.
 *
 * Costs what is freed, and goes on later where it was.
 *
 * @param isHeld Whether a lease keeps the DAG below a node: it waits.
 * @returns Edges that were removed; 0 when nothing is left to release.
 */
export function releaseSome (store: ReferenceStore, isHeld: (cid: CID) => boolean): number {
  const nodes = [...store.looseNodes(isHeld).take(NODES_PER_CHANGE)]
  if (nodes.length === 0) return 0
  let edgeCount = 0
  store.change(() => {
    const garbage: Uint8Array[] = []
    for (const cid of nodes) {
      edgeCount += releaseNode(store, cid, garbage)
      if (edgeCount >= EDGES_PER_CHANGE) break
    }
    if (garbage.length > 0) store.addGarbage(garbage, { isUnreferenced: true })
  })
  return edgeCount
}

function releaseNode (store: ReferenceStore, cid: CID, garbage: Uint8Array[]): number {
  store.removeLoose(cid)
  if (store.hasParent(cid)) return 1
  const node = store.node(cid)
  if (node !== undefined) {
    store.removeNode(cid, node.id)
    for (const child of node.children) loosen(store, { parentId: node.id, cid: child }, garbage)
  }
  if (!store.isReferenced(cid)) garbage.push(cid.multihash.bytes)
  return 1 + (node?.children.length ?? 0)
}

function loosen (store: ReferenceStore, edge: Edge, garbage: Uint8Array[]): void {
  const { cid } = edge
  store.removeEdge(edge)
  if (store.hasParent(cid)) return
  if (wayOf(cid) !== LEAF) store.putLoose(cid)
  else if (!store.isReferenced(cid, LEAF)) garbage.push(cid.multihash.bytes)
}
