import type { IdentifyResult, Libp2p } from '@libp2p/interface'
import type { Libp2pParts } from './libp2p-parts.ts'
import { isPrivate, tryGetNetConfig } from '@libp2p/utils'
import { multiaddr } from '@multiformats/multiaddr'
import { ObservedHosts } from './observed-hosts.ts'

export interface ObservedAddressDeps extends Libp2pParts {
  readonly node: Pick<Libp2p, 'addEventListener'>
}

/**
 * Offers AutoNAT the address under which peers see this node, with the port that it listens on.
 *
 * The port that peers see is that of one socket, so the library drops what they say about TCP. Behind a router that forwards
 * the port, and on a rented machine whose public address is not its own, this is the only way to learn that address.
 */
export function watchObservedAddress ({ node, addressManager, transportManager }: ObservedAddressDeps): void {
  const hosts = new ObservedHosts()
  node.addEventListener('peer:identify', ({ detail }) => {
    const host = observedHost(detail)
    const observer = tryGetNetConfig(detail.connection.remoteAddr)
    if (host === undefined || observer === null || !hosts.note(host, observer.host)) return
    for (const port of listenPorts(transportManager)) addressManager.addObservedAddr(multiaddr(`/ip4/${host}/tcp/${port}`))
  })
}

/** The public IPv4 address that the peer sees; of IPv6 each machine has its own on an interface. */
function observedHost ({ observedAddr, connection }: IdentifyResult): string | undefined {
  if (observedAddr === undefined || isPrivate(observedAddr) || connection.direction !== 'outbound' || !connection.direct) return undefined
  const config = tryGetNetConfig(observedAddr)
  return config?.type === 'ip4' ? config.host : undefined
}

function listenPorts (transportManager: Libp2pParts['transportManager']): Set<number> {
  const configs = transportManager.getAddrs().map(tryGetNetConfig)
  return new Set(configs.map((config) => config?.type === 'ip4' ? config.port : undefined).filter((port) => port !== undefined))
}
