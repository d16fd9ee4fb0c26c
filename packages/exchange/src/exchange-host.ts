import type { Host } from '@holdfast/network'

/** What the exchange needs of a host: streams to peers, who is connected, a way to dial, an account of what is held for a peer, and a way to raise it. */
export type ExchangeHost = Pick<Host, 'peer' | 'peers' | 'isConnected' | 'connect' | 'openStream' | 'handle' | 'watchPeers' | 'addKnownAddresses' | 'holdBytes' | 'allowBytes'>
