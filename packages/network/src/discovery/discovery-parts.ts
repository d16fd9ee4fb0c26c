import type { PeerDiscovery, Transport } from '@libp2p/interface'
import type { ServiceFactoryMap } from 'libp2p'
import { AUTO_BOOTSTRAP, parseBootstrap, type PeerAddress } from './bootstrap-peers.ts'
import type { DiscoveryOptions } from '../network-options.ts'
import type { CircuitRelayTransportComponents } from '@libp2p/circuit-relay-v2'
import type { MdnsDiscovery } from './mdns.ts'
import type { MulticastDNSComponents } from '@libp2p/mdns'
import type { DialBackResult } from './reachability.ts'

/** How a node finds others, with every default in its place. */
export interface DiscoveryPlan {
  readonly bootstrap: readonly PeerAddress[]
  /** Whether peers that were good are dialled too: not where somebody said that nobody is to be. */
  readonly remembers: boolean
  readonly mdns: boolean
  readonly upnp: boolean
  readonly relayClient: boolean
  readonly autonat: boolean
  readonly holePunching: boolean
}

/**
 * Fills in what was left open: on the public network everything is on, on the LAN only what stays there.
 *
 * @throws `INVALID` for a bootstrap peer that cannot be dialled.
 */
export function planDiscovery (options: DiscoveryOptions, { mode, hasSwarmKey }: { mode: 'public' | 'lan', hasSwarmKey: boolean }): DiscoveryPlan {
  const isPublic = mode === 'public'
  const { bootstrap = [AUTO_BOOTSTRAP], mdns = true, upnp = isPublic, relayClient = isPublic, autonat = isPublic, holePunching = isPublic } = options
  return {
    bootstrap: parseBootstrap(bootstrap, { hasPublicPeers: isPublic && !hasSwarmKey }),
    remembers: bootstrap.length > 0,
    mdns, upnp, relayClient, autonat, holePunching
  }
}

/** What libp2p is given for a plan. */
export interface DiscoveryParts {
  readonly transports: Array<(components: CircuitRelayTransportComponents) => Transport>
  readonly peerDiscovery: Array<(components: MulticastDNSComponents) => PeerDiscovery>
  readonly services: ServiceFactoryMap
  readonly mdns: MdnsDiscovery | undefined
}

/** Loads the libraries of what is on, and of nothing else. */
export async function loadDiscovery ({ mdns, upnp, relayClient, autonat, holePunching }: DiscoveryPlan, onDialBack: (result: DialBackResult) => void): Promise<DiscoveryParts> {
  const found = mdns ? (await import('./mdns.ts')).mdnsDiscovery() : undefined
  const services: ServiceFactoryMap = {}
  if (autonat) services['autoNAT'] = (await import('./guarded-autonat.ts')).guardedAutoNat(onDialBack)
  // Without AutoNAT nobody confirms what the router says.
  if (upnp) services['upnp'] = (await import('@libp2p/upnp-nat')).uPnPNAT({ portMappingDescription: 'holdfast', autoConfirmAddress: !autonat })
  if (holePunching) services['dcutr'] = (await import('@libp2p/dcutr')).dcutr()
  return {
    transports: relayClient ? [(await import('@libp2p/circuit-relay-v2')).circuitRelayTransport()] : [],
    peerDiscovery: found === undefined ? [] : [found.service],
    services,
    mdns: found
  }
}
