import type { Logger } from '@holdfast/core'
import type { Libp2p } from '@libp2p/interface'
import type { AddressBookStore } from '../address-book-store.ts'
import { parsePeerId } from '../addresses.ts'
import { type KadNetwork, kadNetworks, type KadOptions } from '../dht/kad-networks.ts'
import type { TrafficBook } from '../traffic.ts'
import { ByteLedger, type Overdraft } from './byte-ledger.ts'
import { ConnectionMeters } from './connection-meters.ts'
import { Doorkeeper } from './doorkeeper.ts'

/** What keeps the limits of a host. */
export interface HostGuards {
  readonly doorkeeper: Doorkeeper
  readonly ledger: ByteLedger
  readonly meters: ConnectionMeters
}

/**
 * The library's own limits of connections, set so wide that ours decide.
 *
 * It refuses the newcomer where we make room, counts each address alone, and stops checking once its count of pending handshakes has
 * passed the bound: it compares with `===`.
 */
export const NO_LIBRARY_LIMITS: { readonly maxConnections: number, readonly maxIncomingPendingConnections: number, readonly inboundConnectionThreshold: number } = {
  maxConnections: Number.MAX_SAFE_INTEGER,
  maxIncomingPendingConnections: Number.MAX_SAFE_INTEGER,
  inboundConnectionThreshold: Number.MAX_SAFE_INTEGER
}

/** Makes the guards of a host, and the networks that they serve. `node` is asked for only once libp2p runs. */
export function openGuards ({ log, traffic, node }: { log: Logger, traffic: TrafficBook, node: () => Libp2p }, options: KadOptions): { guards: HostGuards, networks: KadNetwork[] } {
  const ledger = new ByteLedger((overdraft) => { endConnections(node(), log, overdraft) })
  const meters = new ConnectionMeters(ledger, traffic)
  const networks = kadNetworks({ traffic, ledger, meters }, options)
  const isTagged = (peer: string): boolean => networks.some(({ isInTable }) => isInTable(peer))
  return { guards: { doorkeeper: new Doorkeeper({ log, traffic, isTagged }, options), ledger, meters }, networks }
}

/** Tells the guards of each connection, and the address book whom not to forget. To be called before libp2p starts. */
export function watchConnections (node: Libp2p, { doorkeeper, meters, addressBook }: Pick<HostGuards, 'doorkeeper' | 'meters'> & { addressBook: AddressBookStore }): void {
  addressBook.keep(node.peerId)
  node.addEventListener('peer:connect', ({ detail }) => { addressBook.keep(detail) })
  node.addEventListener('peer:disconnect', ({ detail }) => { addressBook.release(detail) })
  node.addEventListener('connection:open', ({ detail }) => {
    meters.opened(detail)
    doorkeeper.opened(detail)
  })
  node.addEventListener('connection:close', ({ detail }) => {
    doorkeeper.closed(detail)
    meters.closed(detail)
  })
}

function endConnections (node: Libp2p, log: Logger, { peer, heldBytes, reason }: Overdraft): void {
  log.warn('The connections of a peer were ended: it made this node hold too much', { peer, heldBytes, reason: reason.message })
  // Not in the middle of what the library does with the bytes that were too many.
  queueMicrotask(() => { for (const connection of node.getConnections(parsePeerId(peer))) connection.abort(reason) })
}
