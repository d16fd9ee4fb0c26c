import { transportSymbol, type ComponentLogger, type Connection, type CreateListenerOptions, type Listener, type Metrics, type MultiaddrConnection, type Transport, type Upgrader } from '@libp2p/interface'
import { tcp, type TCPDialOptions } from '@libp2p/tcp'
import type { Multiaddr } from '@multiformats/multiaddr'
import type { Socket } from 'node:net'
import type { Doorkeeper } from './limits/doorkeeper.ts'
import { socketOf, type TrafficBook } from './traffic.ts'

interface Components {
  logger: ComponentLogger
  metrics?: Metrics
}

/** The address that a failed dial was for: the library's errors do not say. */
const addressByError = new WeakMap<Error, string>()

/** The address whose dial ended in `err`, if it was a dial. */
export function addressOf (err: Error): string | undefined {
  return addressByError.get(err)
}

export interface TransportDeps {
  readonly traffic: TrafficBook
  readonly doorkeeper: Doorkeeper
}

/** TCP of the library, with our hands on each link before its handshake. */
export function tcpTransport (deps: TransportDeps): (components: Components) => Transport {
  return (components) => {
    const inner = tcp()(components)
    return {
      [transportSymbol]: true,
      [Symbol.toStringTag]: '@libp2p/tcp',
      dial: async (address: Multiaddr, options: TCPDialOptions): Promise<Connection> => await dial(inner, deps, address, options),
      createListener: (options: CreateListenerOptions): Listener => inner.createListener({ ...options, upgrader: watched(options.upgrader, deps) }),
      listenFilter: (addresses) => inner.listenFilter(addresses),
      dialFilter: (addresses) => inner.dialFilter(addresses)
    }
  }
}

async function dial (inner: Transport, deps: TransportDeps, address: Multiaddr, options: TCPDialOptions): Promise<Connection> {
  try {
    return await inner.dial(address, { ...options, upgrader: watched(options.upgrader, deps) })
  } catch (err) {
    if (err instanceof Error) addressByError.set(err, address.toString())
    throw err
  }
}

/** An upgrader that lets us see each link first, and turn away those of strangers. */
function watched (upgrader: Upgrader, { traffic, doorkeeper }: TransportDeps): Upgrader {
  const watch = (link: MultiaddrConnection): Socket | undefined => {
    const socket = socketOf(link)
    if (socket !== undefined) traffic.watchSocket(link, socket)
    return socket
  }
  return {
    upgradeInbound: async (link, options) => {
      const socket = watch(link)
      if (socket === undefined) throw new Error('A link without a socket')
      using _handshake = doorkeeper.knock(link, socket)
      await upgrader.upgradeInbound(link, options)
    },
    upgradeOutbound: async (link, options) => {
      watch(link)
      return await upgrader.upgradeOutbound(link, options)
    },
    createInboundAbortSignal: (signal) => upgrader.createInboundAbortSignal(signal),
    getStreamMuxers: () => upgrader.getStreamMuxers(),
    getConnectionEncrypters: () => upgrader.getConnectionEncrypters()
  }
}
