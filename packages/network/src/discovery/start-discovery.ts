import type { Logger } from '@holdfast/core'
import type { Libp2p } from '@libp2p/interface'
import { isPrivate } from '@libp2p/utils'
import type { KadNetwork } from '../dht/kad-networks.ts'
import type { BackoffOptions } from './backoff.ts'
import { startBootstrapper } from './bootstrapper.ts'
import type { DiscoveryPlan } from './discovery-parts.ts'
import type { Libp2pParts } from './libp2p-parts.ts'
import type { MdnsDiscovery } from './mdns.ts'
import { watchObservedAddress } from './observed-address.ts'
import { openPeerMemory, type PeerMemory } from './peer-memory.ts'
import type { ReachabilityWatch } from './reachability-watch.ts'
import { startRelaySearch } from './relay-search.ts'

export interface DiscoveryDeps extends Libp2pParts {
  readonly node: Libp2p
  readonly log: Logger
  readonly mode: 'public' | 'lan'
  readonly hasSwarmKey: boolean
  readonly plan: DiscoveryPlan
  readonly mdns: MdnsDiscovery | undefined
  readonly reachability: ReachabilityWatch
  readonly networks: readonly KadNetwork[]
  readonly peerFile: string | undefined
  readonly bootstrapRetry: BackoffOptions | undefined
}

/** Starts what looks for peers once libp2p runs. It resolves without waiting for any peer. */
export async function startDiscovery (deps: DiscoveryDeps): Promise<AsyncDisposable> {
  const { node, log, plan, mdns, hasSwarmKey, reachability, transportManager } = deps
  const running = new AsyncDisposableStack()
  if (mdns !== undefined) running.use(mdns.attach(node, log))
  if (plan.autonat) watchObservedAddress(deps)
  if (plan.relayClient) running.use(startRelaySearch({ transportManager, log, reachability: () => reachability.reachability() }))
  const memory = await openMemory(deps)
  if (memory !== undefined) running.use(memory)
  const remembered = (): ReturnType<PeerMemory['list']> => rememberedFor(deps.mode, memory)
  if (plan.bootstrap.length > 0 || (plan.remembers && memory !== undefined)) running.use(startBootstrapper({ node, log, hasSwarmKey, remembered }, plan.bootstrap, deps.bootstrapRetry))
  return running
}

async function openMemory ({ node, log, plan, networks, peerFile }: DiscoveryDeps): Promise<PeerMemory | undefined> {
  if (peerFile === undefined || !plan.remembers) return undefined
  return await openPeerMemory({ node, log }, { path: peerFile, serverProtocols: networks.map(({ protocol }) => protocol) })
}

/** A node that was told to stay on the LAN leaves out whom it met elsewhere. */
function rememberedFor (mode: 'public' | 'lan', memory: PeerMemory | undefined): ReturnType<PeerMemory['list']> {
  const peers = memory?.list() ?? []
  return mode === 'lan' ? peers.filter(({ address }) => isPrivate(address)) : peers
}
