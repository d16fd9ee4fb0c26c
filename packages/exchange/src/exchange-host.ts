import type { Host } from '@holdfast/network'

/** What the exchange needs of a host: streams to peers, who is connected, and a way to dial. */
export type ExchangeHost = Pick<Host, 'peer' | 'peers' | 'isConnected' | 'connect' | 'openStream' | 'handle' | 'watchPeers' | 'addKnownAddresses'>
