import { transportSymbol, type ComponentLogger, type Connection, type CreateListenerOptions, type Listener, type Metrics, type MultiaddrConnection, type Transport, type Upgrader } from '@libp2p/interface'
import { tcp, type TCPDialOptions } from '@libp2p/tcp'
import type { Multiaddr } from '@multiformats/multiaddr'
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

/** TCP of the library, with our hands on each link before its handshake. */
export function tcpTransport (traffic: TrafficBook): (components: Components) => Transport {
  return (components) => {
    const inner = tcp()(components)
    return {
      [transportSymbol]: true,
      [Symbol.toStringTag]: '@libp2p/tcp',
      dial: async (address: Multiaddr, options: TCPDialOptions): Promise<Connection> => await dial(inner, traffic, address, options),
      createListener: (options: CreateListenerOptions): Listener => inner.createListener({ ...options, upgrader: watched(options.upgrader, traffic) }),
      listenFilter: (addresses) => inner.listenFilter(addresses),
      dialFilter: (addresses) => inner.dialFilter(addresses)
    }
  }
}

async function dial (inner: Transport, traffic: TrafficBook, address: Multiaddr, options: TCPDialOptions): Promise<Connection> {
  try {
    return await inner.dial(address, { ...options, upgrader: watched(options.upgrader, traffic) })
  } catch (err) {
    if (err instanceof Error) addressByError.set(err, address.toString())
    throw err
  }
}

/** An upgrader that lets us see each link first. */
function watched (upgrader: Upgrader, traffic: TrafficBook): Upgrader {
  const watch = (link: MultiaddrConnection): void => {
    const socket = socketOf(link)
    if (socket !== undefined) traffic.watchSocket(link, socket)
  }
  return {
    upgradeInbound: async (link, options) => {
      watch(link)
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
