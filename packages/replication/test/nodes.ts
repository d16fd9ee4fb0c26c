import { HoldfastError, silentLogger } from '@holdfast/core'
import { type Host, type Identity, NO_DISCOVERY, openHost, openIdentity, type PeerId } from '@holdfast/network'
import { type Journal, type JournalFs, openJournal } from '@holdfast/pins'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { type NodeLoad, openReplication, type Replication } from '../src/index.ts'

/** How often nodes of tests send heartbeats and compare. */
export const INTERVAL_MS = 200

export interface TestNode extends AsyncDisposable {
  readonly identity: Identity
  readonly host: GatedHost
  readonly journal: Journal
  readonly replication: Replication
  readonly folder: string
}

export interface TestNodeOptions {
  now?: () => number
  /** Of a node that was down. */
  folder?: string
  zone?: string
  intervalMs?: number
  capacityBytes?: number
  load?: () => NodeLoad
  /** @default as in production: a week, looked at each hour */
  forget?: { readonly forgetAfterMs: number, readonly forgetIntervalMs: number }
  /** Replaces parts of the disk below the journal. */
  fs?: Partial<JournalFs>
}

/** A node with a real host on loopback and a journal on the disk, which ends with the test at the latest. */
export async function openNode (context: TestContext, { now, folder, zone = '', intervalMs = INTERVAL_MS, capacityBytes = 1 << 30, load, forget, fs = {} }: TestNodeOptions = {}): Promise<TestNode> {
  const path = folder ?? await mkdtemp(join(tmpdir(), 'holdfast-'))
  if (folder === undefined) context.after(async () => { await rm(path, { recursive: true, force: true }) })
  const open = new AsyncDisposableStack()
  const identity = await openIdentity(join(path, 'identity.key'))
  const host = open.use(new GatedHost(await openHost({ identity, log: silentLogger }, { mode: 'lan', listen: ['/ip4/127.0.0.1/tcp/0'], dht: 'off', ...NO_DISCOVERY })))
  const journal = open.use(await openJournal(join(path, 'journal'), { fs }))
  const replication = open.use(await openReplication({ identity, host, journal, log: silentLogger, now, load }, { profile: { zone, capacityBytes, version: 'test' }, intervalMs, ...forget }))
  const node = { identity, host, journal, replication, folder: path, [Symbol.asyncDispose]: async () => { await open.disposeAsync() } }
  context.after(async () => { await node[Symbol.asyncDispose]() })
  return node
}

/** The first creates a cluster, the others join it. */
export async function openCluster (context: TestContext, count: number, options: TestNodeOptions = {}): Promise<TestNode[]> {
  const first = await openNode(context, options)
  const nodes = [first]
  await first.replication.createCluster({ name: 'ours' })
  while (nodes.length < count) {
    const node = await openNode(context, options)
    const { invite } = await first.replication.invite()
    await node.replication.join(invite)
    nodes.push(node)
  }
  return nodes
}

/** Waits until all hold the same records, and at least so many pins. */
export async function untilSame (nodes: readonly TestNode[], pinCount = 0, timeoutMs = 60_000): Promise<void> {
  await until(() => {
    const stats = nodes.map(({ replication }) => replication.stats())
    return new Set(stats.map(({ root }) => root)).size === 1 && stats.every((stat) => stat.pinCount >= pinCount)
  }, timeoutMs)
}

/** Waits for something that happens on its own. */
export async function until (isTrue: () => boolean, timeoutMs = 60_000): Promise<void> {
  const endMs = performance.now() + timeoutMs
  while (!isTrue()) {
    if (performance.now() > endMs) throw new Error(`Not within ${timeoutMs} ms: ${String(isTrue)}`)
    await new Promise((resolve) => { setTimeout(resolve, 10) })
  }
}

/** Cuts nodes of two groups apart. */
export async function cutApart (some: readonly TestNode[], others: readonly TestNode[]): Promise<void> {
  for (const [here, there] of [[some, others], [others, some]] as const) {
    for (const { host } of here) for (const { identity } of there) host.blocked.add(identity.peerId)
  }
  // All at once: who loses one peer long before the next sees something else than a cut.
  await Promise.all(some.flatMap(({ host }) => others.map(async ({ identity }) => { await host.disconnect(identity.peerId) })))
}

/** Lets all meet again; they find each other by themselves. */
export function letMeet (nodes: readonly TestNode[]): void {
  for (const { host } of nodes) host.blocked.clear()
}

/** A host that cannot reach some peers, nor be reached by them. */
export class GatedHost implements Host {
  readonly blocked: Set<PeerId> = new Set()
  readonly #host: Host
  readonly peer: PeerId

  constructor (host: Host) {
    this.#host = host
    this.peer = host.peer
  }

  get address (): string {
    const [address] = this.#host.addresses()
    if (address === undefined) throw new Error('The host listens nowhere')
    return address
  }

  connect: Host['connect'] = async (address, options) => {
    this.#requireOpen(address.split('/').at(-1) ?? '')
    const peer = await this.#host.connect(address, options)
    await this.#requireStillOpen(peer)
    return peer
  }

  openStream: Host['openStream'] = async (peer, protocols, options) => {
    this.#requireOpen(peer)
    const stream = await this.#host.openStream(peer, protocols, options)
    await this.#requireStillOpen(peer)
    return stream
  }

  handle: Host['handle'] = async (protocols, handler, options) => await this.#host.handle(protocols, async (stream) => {
    this.#requireOpen(stream.peer)
    await handler(stream)
  }, options)

  identify: Host['identify'] = async (peer, options) => {
    this.#requireOpen(peer)
    return await this.#host.identify(peer, options)
  }

  addresses: Host['addresses'] = () => this.#host.addresses()
  peers: Host['peers'] = () => this.#host.peers()
  isConnected: Host['isConnected'] = (peer) => this.#host.isConnected(peer)
  disconnect: Host['disconnect'] = async (peer) => { await this.#host.disconnect(peer) }
  watchPeers: Host['watchPeers'] = (watcher) => this.#host.watchPeers(watcher)
  addKnownAddresses: Host['addKnownAddresses'] = async (peer, addresses) => { await this.#host.addKnownAddresses(peer, addresses) }
  holdBytes: Host['holdBytes'] = (peer) => this.#host.holdBytes(peer)
  allowBytes: Host['allowBytes'] = (peer, maxBytes) => this.#host.allowBytes(peer, maxBytes)
  protect: Host['protect'] = (peer) => this.#host.protect(peer)
  reachability: Host['reachability'] = () => this.#host.reachability()
  traffic: Host['traffic'] = () => this.#host.traffic()

  async [Symbol.asyncDispose] (): Promise<void> {
    await this.#host[Symbol.asyncDispose]()
  }

  /** A dial that was under way when the line was cut must not mend it. */
  async #requireStillOpen (peer: PeerId): Promise<void> {
    if (this.blocked.has(peer)) await this.#host.disconnect(peer)
    this.#requireOpen(peer)
  }

  #requireOpen (peer: PeerId): void {
    if (this.blocked.has(peer)) throw new HoldfastError('UNAVAILABLE', `${peer} is cut off`, { peer, attempts: [] })
  }
}
