/**
 * TLS 1.3 of libp2p on the socket itself, where C++ makes and reads the records. The library puts it on a stream of JavaScript, and
 * each record crosses over twice.
 *
 * @see https://github.com/libp2p/specs/blob/master/tls/tls.md
 */
import type { ComponentLogger, ConnectionEncrypter, MessageStream, Metrics, PrivateKey, SecureConnectionOptions, SecuredConnection, Upgrader } from '@libp2p/interface'
import { tls } from '@libp2p/tls'
import { Credentials } from './credentials.ts'
import { secureSocket } from './handshake.ts'
import { socketLinkOf } from './take-socket.ts'

interface Components {
  privateKey: PrivateKey
  logger: ComponentLogger
  upgrader: Upgrader
  metrics?: Metrics
}

/** The encrypter of `/tls/1.0.0`: ours where a link is a socket, the library's over all others. */
export function socketTls (): (components: Components) => ConnectionEncrypter {
  return (components) => {
    const overStreams = tls()(components)
    const credentials = new Credentials(components.privateKey)

    async function secure (stream: MessageStream, isServer: boolean, options: SecureConnectionOptions = {}): Promise<SecuredConnection> {
      const taken = socketLinkOf(stream)
      if (taken === undefined) return await (isServer ? overStreams.secureInbound(stream, options) : overStreams.secureOutbound(stream, options))
      const muxers = options.skipStreamMuxerNegotiation === true ? new Map() : components.upgrader.getStreamMuxers()
      return await secureSocket(taken, { ...options, isServer, muxers, secureContext: await credentials.secureContext() })
    }

    return {
      protocol: overStreams.protocol,
      secureInbound: async (stream, options) => await secure(stream, true, options),
      secureOutbound: async (stream, options) => await secure(stream, false, options)
    }
  }
}
