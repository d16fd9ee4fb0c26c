import type { BlockReader } from '@holdfast/blockstore'
import { type AbortOptions, CODECS, HoldfastError, isHoldfastError, linksOf, multihashKey } from '@holdfast/core'
import { walkDag } from '@holdfast/dag'
import { CID } from 'multiformats/cid'
import type { Pin } from '../pin-record.ts'
import { LEAF, type NodeEntry, wayOf } from './edge-format.ts'
import type { ReferenceStore } from './reference-store.ts'

/** Edges that are written at once: some milliseconds of work, in which nothing else runs. */
const EDGES_PER_CHANGE = 2048

export interface RetainOptions extends AbortOptions {
  /** Told of each DAG node that was read. */
  onNode?: ((childCount: number) => void) | undefined
  /** Told the id from which on nodes are of this walk, before the first part of it is written. */
  onOpen?: ((nodeId: number) => void) | undefined
}

/** Writes the edges of those of the pins whose DAG is in the index already, or is a single block, and returns them. */
export function retainKnown (store: ReferenceStore, pins: readonly Pin[]): Pin[] {
  const known = pins.filter((pin) => isEntered(store, rootOf(pin)))
  if (known.length === 0) return []
  store.change(() => {
    for (const pin of known) if (store.pin(pin.id) === undefined) putRoot(store, pin, store.takeId())
  })
  return known
}

/**
 * Writes the edges of what a pin keeps. DAG nodes that the index knows are not read again, and raw blocks never are.
 *
 * A DAG of many blocks is written in parts; the store names the pin as its open walk from the first part to the last. When it
 * fails it is left open, to be undone.
 *
 * @throws what reading throws, with the code it has, naming pin and block.
 */
export async function retain ({ store, blocks }: { readonly store: ReferenceStore, readonly blocks: BlockReader }, pin: Pin, options: RetainOptions): Promise<void> {
  if (store.pin(pin.id) !== undefined) return
  try {
    await retainBelow(store, blocks, pin, options)
  } catch (cause) {
    options.signal?.throwIfAborted()
    if (!isHoldfastError(cause)) throw cause
    throw new HoldfastError(cause.code, `Pin ${pin.id} of ${pin.cid} is not whole: ${cause.message}`, { ...cause.details, cause, pin: pin.id, root: pin.cid.toString() })
  }
}

function putRoot (store: ReferenceStore, pin: Pin, nodeId: number): void {
  store.putPin(pin, nodeId)
  store.edges.add({ parentId: nodeId, cid: rootOf(pin) })
}

/** A direct pin keeps its block alone, as if it were raw. */
export function rootOf ({ kind, cid }: Pick<Pin, 'kind' | 'cid'>): CID {
  return kind === 'recursive' ? cid : CID.createV1(CODECS.raw, cid.multihash)
}

/** Every entry is complete, or of the walk under way: an unfinished walk is undone before anything else. */
function isEntered (store: ReferenceStore, cid: CID): boolean {
  return wayOf(cid) === LEAF || store.nodeId(cid) !== undefined
}

async function retainBelow (store: ReferenceStore, blocks: BlockReader, pin: Pin, { signal, onNode, onOpen }: RetainOptions): Promise<void> {
  // Lower than that of every node of this walk: so these are told from others while it is open.
  const pinNodeId = store.takeId()
  let isOpen = false
  let waiting = new Map<string, { readonly cid: CID, readonly node: NodeEntry }>()
  let edgeCount = 0
  const write = ({ isLast }: { readonly isLast: boolean }): void => {
    if (!isOpen && !isLast) onOpen?.(pinNodeId)
    store.change(() => {
      if (!isOpen) putRoot(store, pin, pinNodeId)
      if (!isOpen && !isLast) store.openWalk = pin.id
      if (isOpen && isLast) store.openWalk = undefined
      for (const { cid, node } of waiting.values()) {
        store.putNode(cid, node)
        for (const child of node.children) store.edges.add({ parentId: node.id, cid: child })
      }
    })
    isOpen = true
    waiting = new Map()
    edgeCount = 0
  }
  const skip = (cid: CID): boolean => isEntered(store, cid) || waiting.has(entryKey(cid))
  for await (const block of walkDag(blocks, [rootOf(pin)], { signal, skip, dedupe: false, maxDepth: Infinity })) {
    if (skip(block.cid)) continue
    const children = distinct(linksOf(block))
    waiting.set(entryKey(block.cid), { cid: block.cid, node: { id: store.takeId(), children } })
    edgeCount += children.length + 1
    onNode?.(children.length)
    if (edgeCount >= EDGES_PER_CHANGE) write({ isLast: false })
  }
  write({ isLast: true })
}

function entryKey (cid: CID): string {
  return `${cid.code} ${multihashKey(cid)}`
}

function distinct (cids: readonly CID[]): CID[] {
  return [...new Map(cids.map((cid) => [Buffer.from(cid.bytes).toString('latin1'), cid])).values()]
}
