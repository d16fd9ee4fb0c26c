import { type Blockstore, MemoryBlockstore } from '@holdfast/blockstore'
import { type Logger, silentLogger } from '@holdfast/core'
import { importBytes, recipeOf } from '@holdfast/dag'
import { type Exchange, openExchange } from '@holdfast/exchange'
import { collectGarbage, LeaseBook, openPinSet, openReferences, type PinSet } from '@holdfast/pins'
import type { CID } from 'multiformats/cid'
import { createHash } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { type ClusterPin, type Keeper, type KeeperOptions, openKeeper, type PinRequest } from '../src/index.ts'
import { openNode, type TestNode, type TestNodeOptions, until } from './nodes.ts'

/** Short times, so that tests end soon. */
export const KEEPER_INTERVAL_MS = 100
export const GRACE_MS = 1_500

export interface KeepingNode extends TestNode {
  readonly blocks: Blockstore
  readonly exchange: Exchange
  readonly pins: PinSet
  readonly leases: LeaseBook
  readonly keeper: Keeper
}

export interface KeepingNodeOptions extends TestNodeOptions, Pick<Partial<KeeperOptions>, 'graceMs' | 'stallMs' | 'retryMs' | 'repairBytesPerSecond'> {
  /** Of a node that was down: what its disk held. */
  blocks?: Blockstore
  log?: Logger
  /** @default KEEPER_INTERVAL_MS */
  keeperIntervalMs?: number
}

/** A node that keeps what falls to it, with its blocks in memory. */
export async function openKeepingNode (context: TestContext, { blocks = new MemoryBlockstore(), log = silentLogger, capacityBytes = 1 << 30, graceMs = GRACE_MS, stallMs = 1_000, retryMs = 300, repairBytesPerSecond, keeperIntervalMs = KEEPER_INTERVAL_MS, ...options }: KeepingNodeOptions = {}): Promise<KeepingNode> {
  const opened: { keeper?: Keeper } = {}
  const node = await openNode(context, { ...options, capacityBytes, load: () => opened.keeper?.load() ?? { usedBytes: 0, freeBytes: 0, isFull: false, queueLength: 0, fetching: [] } })
  const { host, journal, replication } = node
  const open = new AsyncDisposableStack()
  open.use(node)
  const pins = open.use(await openPinSet(journal))
  const leases = new LeaseBook()
  const exchange = open.use(await openExchange({ host, routing: { async * findProviders () {} }, blocks, log: silentLogger }))
  const keeper = open.use(openKeeper({ replication, exchange, blocks, pins, leases, host, log, now: options.now }, { capacityBytes, graceMs, stallMs, retryMs, repairBytesPerSecond, intervalMs: keeperIntervalMs }))
  opened.keeper = keeper
  const keeping = { ...node, blocks, exchange, pins, leases, keeper, [Symbol.asyncDispose]: async () => { await open.disposeAsync() } }
  context.after(async () => { await keeping[Symbol.asyncDispose]() })
  return keeping
}

/** The first creates a cluster, the others join it. One set of options for each node. */
export async function openKeepers (context: TestContext, count: number, options: KeepingNodeOptions | ((index: number) => KeepingNodeOptions) = {}): Promise<KeepingNode[]> {
  const optionsOf = (index: number): KeepingNodeOptions => typeof options === 'function' ? options(index) : options
  const first = await openKeepingNode(context, optionsOf(0))
  await first.replication.createCluster({ name: 'ours' })
  const nodes = [first]
  while (nodes.length < count) nodes.push(await joinKeeper(context, first, optionsOf(nodes.length)))
  await untilAcquainted(nodes)
  return nodes
}

/** Waits until each sees all others, and knows what they can hold: from then on all compute the same. */
export async function untilAcquainted (nodes: readonly KeepingNode[]): Promise<void> {
  await until(() => nodes.every(({ replication }) => {
    const members = replication.members()
    return members.length === nodes.length && members.every(({ isAlive, isSelf, capacityBytes, heartbeat }) => isAlive && capacityBytes !== undefined && (isSelf || heartbeat !== undefined))
  }))
}

export async function joinKeeper (context: TestContext, admin: KeepingNode, options: KeepingNodeOptions = {}): Promise<KeepingNode> {
  const node = await openKeepingNode(context, options)
  const { invite } = await admin.replication.invite()
  await node.replication.join(invite)
  return node
}

/** Adds content that is the same for a seed, and returns its root. Nothing pins it. */
export async function addContent ({ blocks }: Pick<KeepingNode, 'blocks'>, seed: number, byteLength = 1000): Promise<CID> {
  const { cid } = await importBytes(blocks, contentOf(seed, byteLength), recipeOf({ profile: 'unixfs-v0-2015' }))
  return cid
}

async function * contentOf (seed: number, byteLength: number): AsyncIterable<Uint8Array> {
  const CHUNK = 4096
  for (let at = 0; at < byteLength; at += CHUNK) {
    const line = createHash('sha256').update(`${seed} ${at}`).digest()
    yield Buffer.alloc(Math.min(CHUNK, byteLength - at), line)
  }
}

/** Removes what no pin of the node keeps, by an index that is made anew. */
export async function collect ({ blocks, pins, leases }: KeepingNode): Promise<number> {
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-collect-'))
  try {
    await using references = await openReferences({ blocks, pins, leases }, { path: join(folder, 'state.mdb') })
    return (await collectGarbage({ blocks, references, leases })).removedCount
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** Pins as the daemon does: here for the cluster first, then the record. The content has one block. */
export async function putWithCopy ({ pins, keeper, replication, blocks }: KeepingNode, cid: CID, { isVerified = true, ...request }: Omit<PinRequest, 'cid'> & { readonly isVerified?: boolean }): Promise<ClusterPin> {
  using _ = keeper.expect(cid, 'recursive')
  await pins.add({ cid, kind: 'recursive', owner: 'cluster' })
  const byteLength = (await blocks.get(cid))?.bytes.byteLength ?? 0
  const [, pin] = await Promise.all([keeper.reportCopy(cid, 'recursive', { byteLength, isVerified }), replication.putPin({ ...request, cid })])
  return pin
}
