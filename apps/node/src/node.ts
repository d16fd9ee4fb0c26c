import { type ApiNode, createApiListener, createBrowserGuard, createRpcListener, NodeEvents, type NodeIdentity, watchedPins, watchHost } from '@holdfast/api'
import { type Blockstore, cachedBlockstore } from '@holdfast/blockstore'
import { HoldfastError, type Logger, sweepScratch } from '@holdfast/core'
import { walkDag } from '@holdfast/dag'
import { openExchange } from '@holdfast/exchange'
import { createGateway, gatewayListener, GatewayMeter, MAX_REQUEST_HEADER_BYTES } from '@holdfast/gateway'
import { type DiscoveryOptions, type Host, openHost, openIdentity, openSwarmKey } from '@holdfast/network'
import { collectGarbage, DagSizes, LeaseBook, openFetchCache, openJournal, openPinSet, openReferences, type PinSet, roomyJournal, startCollector } from '@holdfast/pins'
import { createContentRouting, type ProvideStrategy, startAnnouncer } from '@holdfast/providers'
import { type Keeper, openKeeper, openReplication } from '@holdfast/replication'
import type { CID } from 'multiformats/cid'
import { chmod, lstat, mkdir, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { hostname, userInfo } from 'node:os'
import type { Config, EffectiveSetting } from './config.ts'
import { startHeapGrowth } from './daemon/heap-growth.ts'
import { withHomePage } from './daemon/home-page.ts'
import { listen } from './daemon/listen.ts'
import { lockRepository } from './daemon/lock.ts'
import { conversionUnderWay } from './daemon/convert.ts'
import { removeStateIndex } from './daemon/maintenance.ts'
import { openProvideSchedule } from './daemon/provide-schedule.ts'
import { openRpcAccess } from './daemon/rpc-access.ts'
import { openStorage } from './daemon/storage.ts'
import { usedBytes } from './daemon/used-bytes.ts'
import { openStorageCapacity } from './daemon/storage-capacity.ts'
import { requireDuration } from './parse-duration.ts'
import { DEFAULT_ENGINE, initRepository, migrateRepository, readEngine, REPOSITORY_VERSION } from './repository.ts'
import { REPOSITORY_FILES } from './repository-path.ts'
import { AGENT, VERSION } from './version.ts'

/** A running node. Disposing it stops every part, in the reverse of the order in which they were opened. */
export interface StorageNode extends AsyncDisposable {
  readonly blocks: Blockstore
  readonly pins: PinSet
  readonly host: Host
  /** Where the node can be reached. */
  describe(): NodeIdentity
}

export interface NodeOptions {
  /** Folder of the repository; made when there is none. */
  readonly repository: string
  /** Where the command line finds this node. */
  readonly socketPath: string
  readonly settings: readonly EffectiveSetting[]
  /** Called when somebody asked the node to stop, or with the error that leaves it no choice. */
  onStop(reason?: unknown): void
}

/**
 * How long the gateway waits for content, in milliseconds: longer than a fetch goes on without progress (30 s), so that
 * the answer says what was tried.
 */
const RETRIEVAL_TIMEOUT_MS: number = 35 * 1000

/** Bytes that wait in a response before the reader of the blocks does (measured: 64 KiB costs a third of the speed). */
const RESPONSE_BUFFER_BYTES: number = 256 * 1024

/** How often members hear of one another at most, and pins are looked at again, in ms; more often where the grace period is shorter than that. */
const HEARTBEAT_INTERVAL_MS = 10_000
const REPAIR_INTERVAL_MS = 30_000

/** Three heartbeats that are missed fit into the grace period. */
const HEARTBEATS_PER_GRACE = 4

/** What other members hear before the keeper is open. */
const NOT_KEEPING = { usedBytes: 0, freeBytes: 0, isFull: true, queueLength: 0, fetching: [] }

/**
 * Builds the node: the one place that knows which engine stands behind which contract.
 *
 * Read it top to bottom: each part gets, by name, only parts made above it.
 *
 * @throws `UNAVAILABLE` when the repository or a port is taken, `UNSUPPORTED` for a repository of a newer version.
 */
export async function openNode (config: Config, log: Logger, { repository, socketPath, settings, onStop }: NodeOptions): Promise<StorageNode> {
  await using opening = new AsyncDisposableStack()
  const file = (name: keyof typeof REPOSITORY_FILES): string => join(repository, REPOSITORY_FILES[name])
  const part = (name: string): Logger => log.child({ part: name })

  const rpcAccess = await openRpcAccess(config, part('api'))
  await initRepository(repository)
  opening.use(await lockRepository(file('lock')))
  await sweepScratch(repository)
  const formerVersion = await migrateRepository(repository)
  if (formerVersion < REPOSITORY_VERSION) log.info('Repository was brought to a newer version', { from: formerVersion, to: REPOSITORY_VERSION })
  const conversion = await conversionUnderWay(repository)
  if (conversion !== undefined) log.warn(`A conversion of this repository is not finished: stop the node and run holdfast repo convert --to ${conversion}`)
  const identity = await openIdentity(file('identity'), { log: part('network') })

  const storage = opening.use(await openStorage({ engine: await readEngine(repository) ?? DEFAULT_ENGINE, repository, config, log: part('blockstore'), onFatal: onStop }))
  const { blocks: storedBlocks, engine } = storage
  // Deleted blocks may be back: the next collection looks at all, once every pin was walked.
  if (storage.isIndexNew) await removeStateIndex(repository)
  const leases = new LeaseBook()
  const cache = opening.use(await openFetchCache({ blocks: cachedBlockstore(storedBlocks), leases, log: part('cache') }, { path: file('cache'), maxBytes: config.cacheMaxBytes }))
  const { blocks } = cache
  const journal = opening.use(await openJournal(file('journal'), { log: part('journal'), onFatal: onStop }))
  const events = new NodeEvents()
  const pins = watchedPins(opening.use(await openPinSet(roomyJournal(journal, cache), { log: part('pins') })), events)
  const references = opening.use(await openReferences({ blocks, pins, leases, log: part('pins') }, { path: file('state'), onFatal: onStop }))
  cache.watch(references)

  if (typeof config.storageMaxBytes === 'number' && config.storageMaxBytes > 0) {
    opening.use(startCollector({
      usedBytes: async () => await usedBytes(storage),
      writtenBytes: () => cache.writtenByteLength,
      collect: async (options) => {
        const result = await collectGarbage({ blocks, references, leases, cache }, options)
        events.tell({ type: 'collected', removedCount: result.removedCount, removedByteLength: result.removedByteLength })
        return result
      },
      log: part('pins')
    }, { maxBytes: config.storageMaxBytes }))
  }

  const swarmKey = await openSwarmKey(file('swarmKey'), { log: part('network') })
  const host = opening.use(await openHost({ identity, log: part('network'), peerFile: file('peers') }, { mode: config.network, listen: listenAddresses(config), announce: config.announce, dht: config.dht, swarmKey, ...discoveryOf(config) }))
  opening.use(watchHost(host, events))
  const routing = createContentRouting([{ name: 'dht', ...dhtSource(host.routing) }])
  const exchange = opening.use(await openExchange({ host, routing, blocks: cache.fetchedBlocks, log: part('exchange') }))
  opening.use(startHeapGrowth(() => exchange.stats().receivedByteLength + exchange.stats().sentByteLength))
  const openReader: ApiNode['openReader'] = (root, options) => cache.protectReader(config.network === 'off' ? { get: (cid, opts) => blocks.get(cid, opts), has: (cid, opts) => blocks.has(cid, opts), [Symbol.dispose] () {} } : exchange.openSession(root, options))
  const graceMs = requireDuration(config.repairGrace)
  let load: Keeper['load'] = () => NOT_KEEPING
  const capacityBytes = await openStorageCapacity(config.storageMaxBytes, repository)
  const replication = opening.use(await openReplication({ identity, host, journal: roomyJournal(journal, cache), log: part('replication'), load: () => load() }, {
    intervalMs: Math.min(HEARTBEAT_INTERVAL_MS, graceMs / HEARTBEATS_PER_GRACE),
    profile: (copyByteLength) => ({ name: memberNameOf(config), zone: config.zone, capacityBytes: capacityBytes(copyByteLength), version: VERSION })
  }))
  const keeper = opening.use(openKeeper({ replication, exchange, blocks, pins, leases, cache, host, log: part('keeper') }, {
    graceMs,
    capacityBytes: replication.profile.capacityBytes,
    repairBytesPerSecond: config.repairBytesPerSecond === 0 ? undefined : config.repairBytesPerSecond,
    intervalMs: Math.min(REPAIR_INTERVAL_MS, graceMs)
  }))
  load = () => keeper.load()
  const announcer = opening.use(startAnnouncer({
    routing,
    keys: (strategy, options) => announcedKeys(strategy, { blocks, pins, ...options }),
    schedule: await openProvideSchedule(journal),
    log: part('providers')
  }, { strategy: config.network === 'off' ? 'off' : config.provideStrategy }))

  // Whoever asks while the listeners open gets 0.
  const ports = { gateway: 0, rpc: 0 }
  const gateway = createGateway({ blocks, openReader: (root, signal) => openReader(root, { signal }), log: part('gateway') })
  const gatewayMeter = new GatewayMeter()
  ports.gateway = opening.use(await listen({
    name: 'gateway',
    setting: 'gateway-port',
    at: { host: config.gatewayHost, port: config.gatewayPort },
    listener: withHomePage(gatewayListener(gateway, { log: part('gateway'), meter: gatewayMeter, limits: { retrievalTimeoutMs: RETRIEVAL_TIMEOUT_MS } }), describe),
    server: { highWaterMark: RESPONSE_BUFFER_BYTES, maxHeaderSize: MAX_REQUEST_HEADER_BYTES, headersTimeout: 20_000, requestTimeout: 30_000, keepAliveTimeout: 65_000 }
  })).port

  let isReady = false
  const apiNode: ApiNode = {
    blocks, storedBlocks, cache, pins, leases, references, dagSizes: new DagSizes({ blocks, references }), journal, host, routing, announcer, replication, keeper, events, openReader, describe,
    repository: { folder: repository, version: REPOSITORY_VERSION },
    engine,
    findPeer: async (peer, options) => await host.routing.findPeer(peer, options),
    exchangeStats: () => exchange.stats(),
    gatewayFigures: () => ({ ...gatewayMeter.figures(), caches: gateway.cacheCounts() }),
    settings: () => settings,
    isReady: () => isReady,
    stop: () => {
      isReady = false
      onStop()
    },
    log: part('api')
  }
  ports.rpc = opening.use(await listen({
    name: 'RPC',
    setting: 'rpc-port',
    at: { host: config.rpcHost, port: config.rpcPort },
    tls: rpcAccess.tls,
    listener: createRpcListener(apiNode, { guard: createBrowserGuard({ port: () => ports.rpc, isOwnName: rpcAccess.isOwnName, allowedOrigins: rpcAccess.allowedOrigins }), tokens: rpcAccess.tokens }),
    // An upload may take its time, as long as something comes: the listener watches that.
    server: { highWaterMark: RESPONSE_BUFFER_BYTES, maxHeaderSize: MAX_REQUEST_HEADER_BYTES, headersTimeout: 20_000, requestTimeout: 0, keepAliveTimeout: 65_000 }
  })).port

  await prepareSocket(socketPath, repository)
  opening.use(await listen({
    name: 'command line\'s door',
    at: { path: socketPath },
    listener: createApiListener(apiNode),
    // Standard input of `add` may take its time: the door has no request timeout.
    server: { requestTimeout: 0 }
  }))
  if (process.platform !== 'win32') await chmod(socketPath, 0o600)

  function describe (): NodeIdentity {
    return {
      peerId: identity.peerId,
      agent: AGENT,
      swarm: host.addresses(),
      reachability: host.reachability(),
      gateway: urlOf('http', config.gatewayHost, ports.gateway),
      rpc: urlOf(rpcAccess.tls === undefined ? 'http' : 'https', config.rpcHost, ports.rpc),
      repository,
      engine: engine.name,
      durability: engine.durability
    }
  }

  const { gateway: gatewayUrl } = describe()
  log.debug('Node started', { peer: identity.peerId, gateway: gatewayUrl })
  const open = opening.move()
  isReady = true
  return {
    blocks,
    pins,
    host,
    describe,
    async [Symbol.asyncDispose] () {
      isReady = false
      // Who listens would keep the RPC open for as long as it waits for its callers.
      events[Symbol.dispose]()
      await open.disposeAsync()
    }
  }
}

function urlOf (scheme: string, host: string, port: number): string {
  return `${scheme}://${host.includes(':') ? `[${host}]` : host}:${port}`
}

/** A machine's name may be longer than the name of a member. */
function memberNameOf ({ memberName }: Config): string {
  return memberName !== '' ? memberName : Array.from(hostname()).slice(0, 16).join('')
}

/** Every interface for the world and the LAN; nothing where nobody may come in. */
function listenAddresses ({ network, swarmPort }: Config): string[] {
  return network === 'off' ? [] : [`/ip4/0.0.0.0/tcp/${swarmPort}`, `/ip6/::/tcp/${swarmPort}`]
}

/** Which of the switches are on: what asks the world has no place on a LAN. */
function discoveryOf ({ network, bootstrap, mdns, upnp, relayClient, autonat, holePunching }: Config): DiscoveryOptions {
  const isPublic = network === 'public'
  return {
    bootstrap,
    mdns: mdns === 'on',
    upnp: isPublic && upnp === 'on',
    relayClient: isPublic && relayClient === 'on',
    autonat: isPublic && autonat === 'on',
    holePunching: isPublic && holePunching === 'on'
  }
}

function dhtSource (routing: Awaited<ReturnType<typeof openHost>>['routing']): Pick<Parameters<typeof createContentRouting>[0][number], 'findProviders' | 'provide'> {
  return {
    findProviders: (multihash, options) => routing.findProviders(multihash, options),
    provide: async (multihash, options) => await routing.provide(multihash, options)
  }
}

/** What a strategy announces. A DAG that is damaged ends its own walk, not the round. */
async function * announcedKeys (strategy: Exclude<ProvideStrategy, 'off'>, { blocks, pins, signal }: { blocks: Blockstore, pins: PinSet, signal?: AbortSignal | undefined }): AsyncIterable<CID> {
  if (strategy === 'all') return yield * blocks.list({ signal })
  for (const { cid, kind } of pins.list()) {
    if (strategy === 'roots' || kind === 'direct') yield cid
    else for await (const block of walkDag(blocks, [cid], { signal })) yield block.cid
  }
}

/** Clears the place for the socket: we hold the repository's lock, so a socket that is there is left over. */
async function prepareSocket (socketPath: string, repository: string): Promise<void> {
  if (process.platform === 'win32') return
  const folder = dirname(socketPath)
  if (folder !== repository) {
    await mkdir(folder, { recursive: true, mode: 0o700 })
    const { uid, mode } = await lstat(folder)
    if (uid !== userInfo().uid || (mode & 0o077) !== 0) {
      throw new HoldfastError('UNAVAILABLE', `The folder ${folder} for sockets belongs to somebody else or is open to others; set XDG_RUNTIME_DIR to a folder of yours`, { folder })
    }
  }
  await rm(socketPath, { force: true })
}
