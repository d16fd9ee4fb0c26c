import { HoldfastError } from '@holdfast/core'
import { AGENT } from './limits.ts'
import { ByteLedger } from './limits/byte-ledger.ts'
import type { NetworkHost } from './network-options.ts'

/** The host of a node whose network is off: it knows nobody and reaches nobody. */
export function offlineHost (peer: string): NetworkHost {
  const refuse = async (): Promise<never> => { throw new HoldfastError('UNAVAILABLE', 'The network is off. Start the daemon with --network lan or --network public', { attempts: [] }) }
  const ledger = new ByteLedger(() => {})
  return {
    peer,
    addresses: () => [],
    peers: () => [],
    isConnected: () => false,
    connect: refuse,
    disconnect: async () => {},
    identify: async (asked) => asked === peer ? { peer, agent: AGENT, protocols: [], addresses: [] } : await refuse(),
    openStream: refuse,
    handle: async () => ({ [Symbol.asyncDispose]: async () => {} }),
    watchPeers: () => ({ [Symbol.dispose] () {} }),
    addKnownAddresses: async () => {},
    holdBytes: (peer) => ledger.hold(peer),
    allowBytes: (peer, maxBytes) => ledger.allow(peer, maxBytes),
    protect: () => ({ [Symbol.dispose] () {} }),
    reachability: () => ({ state: 'private', how: 'The network is off' }),
    traffic: () => ({ total: { sentBytes: 0, receivedBytes: 0 }, byProtocol: {}, byPeer: {} }),
    routing: {
      isReady: false,
      async * findProviders () {},
      provide: async () => ({ acceptedCount: 0, failures: ['The network is off'] }),
      findPeer: async () => undefined
    },
    [Symbol.asyncDispose]: async () => {}
  }
}
