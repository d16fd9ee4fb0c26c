import type { Reachability } from '../host.ts'
import { INBOUND_PROOF_MS } from './discovery-limits.ts'

/** What peers said when AutoNAT had them dial an address of ours. */
export interface DialBackResult {
  readonly address: string
  readonly wasReached: boolean
  /** Peers that said so; `undefined` when the library did not tell. */
  readonly peerCount: number | undefined
}

/** What a node knows about whether it can be dialled. */
export interface ReachabilityFacts {
  readonly mode: 'public' | 'lan'
  readonly asksPeers: boolean
  /** Whether this node listens on any address at all. */
  readonly listens: boolean
  /** Public addresses that may lead here: of an interface, mapped by the router, or named by peers. */
  readonly publicAddresses: readonly string[]
  /** The last result of each address, newest last. */
  readonly dialBacks: readonly DialBackResult[]
  /** The last connection that somebody opened to us from a public address. */
  readonly inbound: { readonly address: string, readonly atMs: number } | undefined
  /** Connected peers outside of private networks. */
  readonly publicPeerCount: number
  readonly nowMs: number
}

/** Whether other machines can dial this node, and how that is known. The strongest evidence decides. */
export function reachabilityOf (facts: ReachabilityFacts): Reachability {
  if (!facts.listens) return { state: 'private', how: 'This node listens on no address' }
  if (facts.mode === 'lan') return { state: 'unknown', how: 'The network is lan: nobody outside is asked' }
  return seenFromOutside(facts) ?? seenFromInside(facts)
}

function seenFromOutside ({ dialBacks, inbound, nowMs }: ReachabilityFacts): Reachability | undefined {
  const reached = dialBacks.findLast(({ wasReached }) => wasReached)
  if (reached !== undefined) return { state: 'public', how: `AutoNAT: ${peersOf(reached)} dialled this node back on ${reached.address}` }
  if (inbound !== undefined && nowMs - inbound.atMs < INBOUND_PROOF_MS) return { state: 'public', how: `A peer dialled this node from ${inbound.address}` }
  const failed = dialBacks.at(-1)
  return failed === undefined ? undefined : { state: 'private', how: `AutoNAT: ${peersOf(failed)} could not dial this node back on ${failed.address}` }
}

function seenFromInside ({ publicPeerCount, publicAddresses, asksPeers }: ReachabilityFacts): Reachability {
  if (publicPeerCount === 0) return { state: 'unknown', how: 'No peer outside of this LAN is connected' }
  if (publicAddresses.length === 0) return { state: 'private', how: 'No public address of this node is known, and nobody dialled it' }
  if (!asksPeers) return { state: 'unknown', how: 'AutoNAT is off, and nobody dialled this node' }
  return { state: 'unknown', how: 'Too few peers have answered yet whether they can dial this node' }
}

function peersOf ({ peerCount }: DialBackResult): string {
  if (peerCount === undefined) return 'peers'
  return peerCount === 1 ? '1 peer' : `${peerCount} peers`
}
