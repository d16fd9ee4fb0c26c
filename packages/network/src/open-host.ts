import type { NetworkDeps, NetworkHost, NetworkOptions } from './network-options.ts'
import { offlineHost } from './offline-host.ts'

/**
 * Starts the network, and resolves when this node listens. It waits for no peer.
 *
 * @throws `INVALID` for an option that cannot be; `UNAVAILABLE` when an address cannot be listened on.
 */
export async function openHost (deps: NetworkDeps, options: NetworkOptions): Promise<NetworkHost> {
  const { mode } = options
  if (mode === 'off') return offlineHost(deps.identity.peerId)
  // libp2p takes half a second to load: only those wait for it who use it.
  const { openLibp2pHost } = await import('./open-libp2p-host.ts')
  return await openLibp2pHost(deps, { ...options, mode })
}
