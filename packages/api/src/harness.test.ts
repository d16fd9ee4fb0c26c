import { type Blockstore, MemoryBlockstore } from '@holdfast/blockstore'
import { openInPlaceBlockstore } from '@holdfast/blockstore/in-place'
import { silentLogger } from '@holdfast/core'
import { openExchange } from '@holdfast/exchange'
import { GatewayMeter } from '@holdfast/gateway'
import { offlineHost, openIdentity } from '@holdfast/network'
import { DagSizes, LeaseBook, openFetchCache, openJournal, openPinSet, openReferences } from '@holdfast/pins'
import { createContentRouting, startAnnouncer } from '@holdfast/providers'
import { openKeeper, openReplication } from '@holdfast/replication'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import type { ApiNode } from './api-node.ts'
import { NodeEvents, watchedPins } from './node-events.ts'

export interface ApiNodeOptions {
  readonly blocks?: Blockstore
  readonly stop?: () => void
}

/** The parts of a node whose network is off, with its blocks in memory; all of it goes with the test. */
export async function openApiNode (context: TestContext, { blocks: stored = new MemoryBlockstore(), stop = () => {} }: ApiNodeOptions = {}): Promise<ApiNode> {
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-'))
  const journal = await openJournal(join(folder, 'journal'))
  const events = new NodeEvents()
  const pins = watchedPins(await openPinSet(journal), events)
  const leases = new LeaseBook()
  const inPlace = await openInPlaceBlockstore({ blocks: stored, records: journal })
  const cache = await openFetchCache({ blocks: inPlace, leases }, { path: join(folder, 'cache.log'), maxBytes: 0 })
  const { blocks } = cache
  const references = await openReferences({ blocks, pins, leases }, { path: join(folder, 'state.mdb') })
  cache.watch(references)
  const routing = createContentRouting([])
  const announcer = startAnnouncer({ routing, async * keys () {}, log: silentLogger }, { strategy: 'off' })
  const identity = await openIdentity(join(folder, 'identity'), { log: silentLogger })
  const host = offlineHost(identity.peerId)
  const replication = await openReplication({ identity, host, journal, log: silentLogger }, { profile: { zone: '', capacityBytes: 2 ** 40, version: '1.2.3' } })
  const exchange = await openExchange({ host, routing, blocks, log: silentLogger })
  const keeper = openKeeper({ replication, exchange, blocks, pins, leases, cache, host, log: silentLogger }, { capacityBytes: 2 ** 40 })
  context.after(async () => {
    for (const part of [keeper, replication, exchange, announcer, references, cache, inPlace, pins, journal]) await part[Symbol.asyncDispose]()
    await rm(folder, { recursive: true, force: true })
  })
  return {
    replication,
    keeper,
    blocks,
    storedBlocks: inPlace,
    inPlace,
    cache,
    journal,
    pins,
    leases,
    references,
    dagSizes: new DagSizes({ blocks, references }),
    routing,
    announcer,
    host,
    findPeer: host.routing.findPeer,
    exchangeStats: () => ({ peerCount: 0, openWantCount: 0, receivedBlockCount: 1, receivedByteLength: 2, duplicateBlockCount: 3, duplicateByteLength: 6, unrequestedBlockCount: 0, wrongBlockCount: 0, hashedBlockCount: 1, sentBlockCount: 4, sentByteLength: 5, waitingCount: 0, outstandingBytes: 0 }),
    gatewayFigures: () => ({ ...new GatewayMeter().figures(), caches: {} }),
    openReader: () => ({ get: (cid, options) => blocks.get(cid, options), has: (cid, options) => blocks.has(cid, options), [Symbol.dispose] () {} }),
    repository: { folder, version: 1 },
    engine: { name: 'memory', durability: 'os', figures: async () => ({}) },
    describe: () => ({ peerId: host.peer, agent: 'holdfast/1.2.3', swarm: [], reachability: { state: 'unknown', how: '' }, gateway: 'http://127.0.0.1:8080', rpc: 'http://127.0.0.1:5001', repository: folder, engine: 'memory', durability: 'os' }),
    settings: () => [{ key: 'gatewayPort', value: 8080, source: 'default' }],
    stop,
    events,
    isReady: () => true,
    log: silentLogger
  }
}
