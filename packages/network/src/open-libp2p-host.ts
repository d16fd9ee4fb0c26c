import { HoldfastError } from '@holdfast/core'
import { privateKeyFromProtobuf } from '@libp2p/crypto/keys'
import { identify, identifyPush } from '@libp2p/identify'
import type { ConnectionProtector, Libp2p } from '@libp2p/interface'
import { ping } from '@libp2p/ping'
import { createLibp2p, type ServiceFactoryMap } from 'libp2p'
import { AddressBookStore } from './address-book-store.ts'
import { parseMultiaddr } from './addresses.ts'
import { createDhtRouting } from './dht/dht-routing.ts'
import type { KadNetwork } from './dht/kad-networks.ts'
import { loadDiscovery, planDiscovery } from './discovery/discovery-parts.ts'
import { pingOnceIdentified } from './discovery/first-ping.ts'
import type { Libp2pParts } from './discovery/libp2p-parts.ts'
import { ReachabilityWatch } from './discovery/reachability-watch.ts'
import { startDiscovery } from './discovery/start-discovery.ts'
import { Libp2pHost } from './libp2p-host.ts'
import { AGENT, DIAL_TIMEOUT_MS, HANDSHAKE_TIMEOUT_MS, MAX_PING_STREAMS, MONITOR_INTERVAL_MS } from './limits.ts'
import { cutIdentity } from './limits/cut-identity.ts'
import { NO_LIBRARY_LIMITS, openGuards, watchConnections } from './limits/guards.ts'
import { muxers } from './muxers.ts'
import { DEFAULT_LISTEN, type NetworkDeps, type NetworkHost, type NetworkOptions } from './network-options.ts'
import { quietLogger } from './quiet-logger.ts'
import { parseSwarmKey } from './private/swarm-key.ts'
import { encrypters, keyGater } from './security.ts'
import { TrafficBook } from './traffic.ts'
import { tcpTransport } from './transport.ts'

/** The library ends a connection at the first failed ping, also one that failed because another was on its way. */
export const connectionMonitor: { readonly pingInterval: number, readonly abortConnectionOnPingFailure: false } = { pingInterval: MONITOR_INTERVAL_MS, abortConnectionOnPingFailure: false }

/** Builds libp2p and starts it. Loaded by `openHost` only, so that who needs no network does not load it. */
export async function openLibp2pHost ({ identity, log, peerFile }: NetworkDeps, options: NetworkOptions & { mode: 'public' | 'lan' }): Promise<NetworkHost> {
  const { mode, listen = DEFAULT_LISTEN, announce = [], dht = 'auto', swarmKey, bootstrapRetry, limitLoopback = false } = options
  const hasSwarmKey = swarmKey !== undefined
  const addresses = listen.map((address) => parseMultiaddr(address).toString())
  const plan = planDiscovery(options, { mode, hasSwarmKey })
  const traffic = new TrafficBook()
  const addressBook = new AddressBookStore()
  const { guards, networks } = openGuards({ log, traffic, node: () => node }, { mode, dht, hasSwarmKey, limitLoopback })
  const reachability = new ReachabilityWatch({ mode, asksPeers: plan.autonat, listens: addresses.length > 0 })
  const discovery = await loadDiscovery(plan, (result) => { reachability.noteDialBack(result) })
  const inside = insideView()

  const node: Libp2p = await createLibp2p({
    start: false,
    privateKey: privateKeyFromProtobuf(identity.privateKey.toProtobuf()),
    nodeInfo: { name: AGENT, userAgent: AGENT },
    logger: quietLogger,
    datastore: addressBook,
    addresses: { listen: addresses, announce: announce.map((address) => parseMultiaddr(address).toString()) },
    transports: [tcpTransport({ traffic, doorkeeper: guards.doorkeeper }), ...discovery.transports],
    ...(swarmKey === undefined ? {} : { connectionProtector: await protector(swarmKey) }),
    connectionEncrypters: encrypters(),
    connectionGater: keyGater,
    streamMuxers: muxers(),
    connectionManager: {
      dialTimeout: DIAL_TIMEOUT_MS,
      inboundUpgradeTimeout: HANDSHAKE_TIMEOUT_MS,
      ...NO_LIBRARY_LIMITS
    },
    connectionMonitor,
    peerDiscovery: discovery.peerDiscovery,
    services: { ...services(networks), ...discovery.services, inside: inside.service }
  })

  watchConnections(node, { ...guards, addressBook })
  const host = new Libp2pHost({ node, log, traffic, guards, hasSwarmKey, reachability: () => reachability.reachability() })
  reachability.attach(node, inside.parts().addressManager)
  pingOnceIdentified(node)
  await start(node, addresses)
  const running = await startDiscovery({ node, log, hasSwarmKey, plan, mdns: discovery.mdns, mode, reachability, networks, peerFile, bootstrapRetry, ...inside.parts() })
  const close = host[Symbol.asyncDispose].bind(host)
  return Object.assign(host, {
    routing: createDhtRouting({ node, networks, log }),
    [Symbol.asyncDispose]: async () => {
      try {
        await running[Symbol.asyncDispose]()
      } finally {
        await close()
        stopUpdates([inside.parts().addressManager, node.services['identifyPush']])
      }
    }
  })
}

/** What libp2p puts off by a second whenever addresses or protocols change, and has no public way to take back. */
const PUT_OFF = ['_updatePeerStoreAddresses', '_push']

/**
 * Takes back what parts of libp2p set out to do when the others stopped: to look at the addresses of a node that listens
 * nowhere any more, and to tell nobody about it. Each of these timers keeps the process alive for a second.
 */
function stopUpdates (parts: readonly unknown[]): void {
  for (const part of parts.filter((part) => typeof part === 'object' && part !== null)) {
    for (const name of PUT_OFF) {
      const update: unknown = Reflect.get(part, name)
      if (typeof update === 'function' && 'stop' in update && typeof update.stop === 'function') update.stop()
    }
  }
}

function services (networks: readonly KadNetwork[]): ServiceFactoryMap {
  return {
    identify: (components) => identify()(cutIdentity(components)),
    identifyPush: (components) => identifyPush()(cutIdentity(components)),
    ping: ping({ maxInboundStreams: MAX_PING_STREAMS, maxOutboundStreams: MAX_PING_STREAMS }),
    ...Object.fromEntries(networks.map(({ name, service }) => [name, service]))
  }
}

/** A service that does nothing but look: only services are given the parts of libp2p. */
function insideView (): { service: (components: Libp2pParts) => object, parts: () => Libp2pParts } {
  let parts: Libp2pParts | undefined
  return {
    service ({ addressManager, transportManager }) {
      parts = { addressManager, transportManager }
      return {}
    },
    parts () {
      if (parts === undefined) throw new Error('The parts are asked for before libp2p was made')
      return parts
    }
  }
}

async function protector (swarmKey: Uint8Array): Promise<() => ConnectionProtector> {
  const { swarmKeyProtector } = await import('./private/private-link.ts')
  return swarmKeyProtector(parseSwarmKey(swarmKey, 'The swarm key'))
}

async function start (node: Libp2p, addresses: readonly string[]): Promise<void> {
  try {
    await node.start()
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause)
    if (!/listen/i.test(why)) throw new HoldfastError('UNAVAILABLE', `Cannot start the network: ${why}`, { cause })
    throw new HoldfastError('UNAVAILABLE', `Cannot listen on ${addresses.join(', ')}: ${why.includes('EADDRINUSE') ? 'another program has the port. Stop it, or set another port' : why}`, { cause, addresses })
  }
}
