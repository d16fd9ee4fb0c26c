import type { DCUtRServiceComponents } from '@libp2p/dcutr'

/** The address book of the library for its own addresses: which are known, and which were confirmed by others. */
export type AddressManager = DCUtRServiceComponents['addressManager']

/** The listeners of the library. */
export type TransportManager = DCUtRServiceComponents['transportManager']

/** The parts of libp2p that a service gets to see, and its users do not. */
export interface Libp2pParts {
  readonly addressManager: AddressManager
  readonly transportManager: TransportManager
}
