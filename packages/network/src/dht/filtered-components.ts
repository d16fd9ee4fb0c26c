import type { Connection, PeerId as LibraryPeerId, Stream, StreamHandler } from '@libp2p/interface'
import { isPeerId } from '@libp2p/interface'
import type { KadDHTComponents } from '@libp2p/kad-dht'
import type { Multiaddr } from '@multiformats/multiaddr'
import { readMultiaddr } from '../addresses.ts'
import { MAX_DHT_OUTBOUND_STREAMS } from '../limits.ts'
import { overriding } from '../overriding.ts'
import type { StreamBooks } from '../peer-stream.ts'
import { Backlog } from './backlog.ts'
import { clientFilter, serverFilter, type ServerRates } from './dht-filters.ts'
import type { DhtPeer } from './dht-message.ts'
import { filteredStream } from './filtered-stream.ts'
import type { ProviderBook } from './provider-book.ts'

export interface FilterParts {
  readonly protocol: string
  readonly book: ProviderBook
  readonly inScope: (addresses: readonly Multiaddr[]) => Multiaddr[]
  readonly rates: ServerRates
  readonly booksOf: (peer: LibraryPeerId) => Pick<StreamBooks, 'counter' | 'held'>
  /** Whether a peer that answers may be in the routing table; throws where not. */
  readonly admit: (peer: LibraryPeerId) => void
}

/**
 * What the library's DHT gets of libp2p: each stream that it opens or answers goes through our filter first, and each peer past our
 * guard before it comes into the routing table.
 *
 * Not libp2p's own middleware (`use`): there each stream that comes in adds its handler to the list for good, and from then on
 * the streams that we open are answered as if a peer had opened them.
 */
export function filteredComponents (components: KadDHTComponents, { protocol, book, inScope, rates, booksOf, admit }: FilterParts): KadDHTComponents {
  const { registrar, connectionManager, ping } = components
  const backlog = new Backlog()
  const addressesFor = ({ id, addresses }: DhtPeer): DhtPeer => {
    const known = addresses.map(readMultiaddr).filter((address) => address !== undefined)
    return { id, addresses: inScope(known).map(({ bytes }) => bytes) }
  }
  const answered = (handler: StreamHandler): StreamHandler => async (stream: Stream, connection: Connection) => {
    const filter = serverFilter(connection.remotePeer.toMultihash().bytes, { book, addressesFor, rates })
    await handler(filteredStream(stream, filter, { ...booksOf(connection.remotePeer), backlog }), connection)
  }
  return {
    peerId: components.peerId,
    privateKey: components.privateKey,
    addressManager: components.addressManager,
    peerStore: components.peerStore,
    datastore: components.datastore,
    events: components.events,
    logger: components.logger,
    // The table takes a peer when it has answered a ping, and in no other way.
    ping: overriding(ping, {
      ping: async (peer, options) => {
        const latencyMs = await ping.ping(peer, options)
        if (isPeerId(peer)) admit(peer)
        return latencyMs
      }
    }),
    registrar: overriding(registrar, {
      handle: async (name, handler, options) => { await registrar.handle(name, name === protocol ? answered(handler) : handler, options) }
    }),
    connectionManager: overriding(connectionManager, {
      openStream: async (peer, protocols, options) => {
        const stream = await connectionManager.openStream(peer, protocols, { ...options, maxOutboundStreams: MAX_DHT_OUTBOUND_STREAMS })
        if (!isPeerId(peer)) throw new Error('The DHT opens streams to peers, not to addresses')
        return filteredStream(stream, clientFilter(), { ...booksOf(peer), backlog })
      }
    })
  }
}
