import type { PeerData, PeerStore } from '@libp2p/interface'
import { MAX_PEER_ADDRESSES, MAX_PEER_PROTOCOLS, MAX_PROTOCOL_CHARACTERS } from '../limits.ts'
import { overriding } from '../overriding.ts'

/**
 * What the library's identify gets of libp2p: a peer store that is told no more of a peer than we keep.
 *
 * The store compares each address with each before it writes a row: 80 KiB of them, as much as identify reads, take it 250 ms.
 */
export function cutIdentity<T extends { readonly peerStore: PeerStore }> (components: T): T {
  const { peerStore } = components
  const cutStore = overriding(peerStore, {
    patch: async (peer, data, options) => await peerStore.patch(peer, cutPeerData(data), options),
    merge: async (peer, data, options) => await peerStore.merge(peer, cutPeerData(data), options)
  })
  return new Proxy(components, { get: (target, name) => name === 'peerStore' ? cutStore : Reflect.get(target, name) })
}

function cutPeerData ({ addresses, multiaddrs, protocols, ...rest }: PeerData): PeerData {
  return {
    ...rest,
    ...(addresses === undefined ? {} : { addresses: addresses.slice(0, MAX_PEER_ADDRESSES) }),
    ...(multiaddrs === undefined ? {} : { multiaddrs: multiaddrs.slice(0, MAX_PEER_ADDRESSES) }),
    ...(protocols === undefined ? {} : { protocols: protocols.filter(({ length }) => length <= MAX_PROTOCOL_CHARACTERS).slice(0, MAX_PEER_PROTOCOLS) })
  }
}
