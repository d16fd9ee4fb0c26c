import { silentLogger } from '@holdfast/core'
import { identify } from '@libp2p/identify'
import type { Libp2p } from '@libp2p/interface'
import { ping } from '@libp2p/ping'
import { createLibp2p, type ServiceFactoryMap } from 'libp2p'
import assert from 'node:assert/strict'
import type { TestContext } from 'node:test'
import { AddressBookStore } from '../src/address-book-store.ts'
import type { KadNetwork } from '../src/dht/kad-networks.ts'
import { NO_LIBRARY_LIMITS, openGuards, watchConnections } from '../src/limits/guards.ts'
import { muxers } from '../src/muxers.ts'
import { quietLogger } from '../src/quiet-logger.ts'
import { encrypters } from '../src/security.ts'
import { TrafficBook } from '../src/traffic.ts'
import { tcpTransport } from '../src/transport.ts'

/** A node with a DHT whose table can be looked into. */
export async function newKadNode (context: TestContext, { limitLoopback = false, ...options }: { limitLoopback?: boolean } & Parameters<typeof createLibp2p>[0] = {}): Promise<{ node: Libp2p, network: KadNetwork }> {
  const traffic = new TrafficBook()
  const { guards, networks } = openGuards({ log: silentLogger, traffic, node: () => node }, { mode: 'lan', dht: 'server', hasSwarmKey: false, limitLoopback })
  const [network] = networks
  assert.ok(network !== undefined)
  const services: ServiceFactoryMap = { identify: identify(), ping: ping({ maxInboundStreams: 16, maxOutboundStreams: 16 }), ...Object.fromEntries([[network.name, network.service]]) }
  const node: Libp2p = await createLibp2p({
    start: false,
    logger: quietLogger,
    addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
    transports: [tcpTransport({ traffic, doorkeeper: guards.doorkeeper })],
    connectionEncrypters: encrypters(),
    streamMuxers: muxers(),
    connectionManager: NO_LIBRARY_LIMITS,
    connectionMonitor: { enabled: false },
    services,
    ...options
  })
  watchConnections(node, { ...guards, addressBook: new AddressBookStore() })
  await node.start()
  context.after(async () => { await node.stop() })
  return { node, network }
}
