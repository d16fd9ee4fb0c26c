export { type ByteCounts, type ConnectedPeer, type DialAttempt, type Host, type PeerId, type PeerStream, type PeerWatcher, type ProtocolHandlerOptions, type Reachability, type Traffic } from './host.ts'
export { type Identity, type IdentityOptions, openIdentity, type PrivateKey } from './identity.ts'
