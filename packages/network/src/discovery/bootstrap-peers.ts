import { HoldfastError, isHoldfastError } from '@holdfast/core'
import type { Multiaddr } from '@multiformats/multiaddr'
import { parseDialTarget } from '../addresses.ts'
import type { PeerId } from '../host.ts'

/** A peer and where it may be dialled. */
export interface PeerAddress {
  readonly peer: PeerId
  readonly address: Multiaddr
}

/** Stands for `PUBLIC_BOOTSTRAP`, as in the configuration of Kubo. */
export const AUTO_BOOTSTRAP = 'auto'

/** The peers that every IPFS node knows, as Kubo has them built in (config/bootstrap_peers.go). */
export const PUBLIC_BOOTSTRAP: readonly string[] = [
  '/dnsaddr/bootstrap.libp2p.io/p2p/QmNnooDu7bfjPFoTZYxMNLWUQJyrVwtbZg5gBMjTezGAJN',
  '/dnsaddr/bootstrap.libp2p.io/p2p/QmQCU2EcMqAqQPR2i9bChDtGNJchTbq5TbXJJ16u19uLTa',
  '/dnsaddr/bootstrap.libp2p.io/p2p/QmbLHAnMoJPWSCR5Zhtx6BHJX9KiKNN6tpvbUcqanj75Nb',
  '/dnsaddr/bootstrap.libp2p.io/p2p/QmcZf59bWwK5XFi76CZX8cbJ4BhTzzA3gU1ZjYZcYW3dwt',
  '/dnsaddr/va1.bootstrap.libp2p.io/p2p/12D3KooWKnDdG3iXw9eTFijk3EWSunZcFi54Zka4wmtqtt6rPxc8',
  '/ip4/104.131.131.82/tcp/4001/p2p/QmaCpDMGvV2BGHeYERUEnRQAwe3N8SzbUtfsmvsqQLuvuJ'
]

/** Bootstrap peers that a node takes; more is a mistake and would be dialled by every restart. */
export const MAX_BOOTSTRAP_PEERS = 64

/**
 * Reads a list of bootstrap peers, with `auto` replaced.
 *
 * @throws `INVALID` that names the first entry that cannot be dialled.
 */
export function parseBootstrap (list: readonly string[], { hasPublicPeers }: { hasPublicPeers: boolean }): PeerAddress[] {
  if (list.length > MAX_BOOTSTRAP_PEERS) throw new HoldfastError('INVALID', `There are ${list.length} bootstrap peers; ${MAX_BOOTSTRAP_PEERS} are enough`)
  const expanded = list.flatMap((entry) => entry === AUTO_BOOTSTRAP ? hasPublicPeers ? PUBLIC_BOOTSTRAP : [] : [entry])
  return expanded.map(parsePeerAddress)
}

function parsePeerAddress (text: string): PeerAddress {
  try {
    const { peer, address } = parseDialTarget(text)
    if (address === undefined) throw new HoldfastError('INVALID', `${text} does not say where the peer is: write /ip4/…/tcp/…/p2p/${text} or /dnsaddr/…/p2p/${text}`)
    return { peer: peer.toString(), address }
  } catch (cause) {
    if (!isHoldfastError(cause)) throw cause
    throw new HoldfastError('INVALID', `Cannot use a bootstrap peer: ${cause.message}`, { cause, ...cause.details })
  }
}
