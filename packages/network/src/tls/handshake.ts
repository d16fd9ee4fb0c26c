/** The handshake: who the peer is, and which muxer both will use. */
import { type AbortOptions, InvalidCryptoExchangeError, type PeerId, type SecuredConnection, type StreamMuxerFactory } from '@libp2p/interface'
import { verifyPeerCertificate } from '@libp2p/tls/utils'
import { connect, type SecureContext, TLSSocket } from 'node:tls'
import { type SocketLink, takeSocket } from './take-socket.ts'
import { TlsStream } from './tls-stream.ts'

/** Stands for a muxer in ALPN, where none is agreed on: it is negotiated afterwards, as without TLS. */
const NO_MUXER = 'libp2p'

export interface HandshakeOptions extends AbortOptions {
  readonly isServer: boolean
  readonly secureContext: SecureContext
  readonly muxers: ReadonlyMap<string, StreamMuxerFactory>
  /** Who must be at the other side, where that is known. */
  readonly remotePeer?: PeerId
}

/**
 * Shakes hands on the socket of a link, which is the stream's from then on.
 *
 * @throws when the link ends or the signal aborts first, and when the peer does not prove who it is; the link is then reset.
 */
export async function secureSocket (taken: SocketLink, options: HandshakeOptions): Promise<SecuredConnection> {
  const { link } = taken
  options.signal?.throwIfAborted()
  await takeSocket(taken)
  const socket = openTls(taken, options)
  tie(taken, socket)
  using _abort = abortWith(taken, options)
  try {
    await untilSecure(taken, socket)
    const remotePeer = await verifyPeerCertificate(certificateOf(socket), options.remotePeer, link.log)
    const streamMuxer = muxerOf(socket, options.muxers)
    if (link.status !== 'open') throw new InvalidCryptoExchangeError('The connection ended in its TLS handshake')
    return { remotePeer, connection: new TlsStream(taken, socket), ...(streamMuxer === undefined ? {} : { streamMuxer }) }
  } catch (cause) {
    const err = cause instanceof Error ? cause : new Error(String(cause))
    link.abort(err)
    throw err
  }
}

/** Nothing is rejected here: certificates of peers are their own, and the peer's is verified after the handshake. */
function openTls ({ socket }: SocketLink, { isServer, secureContext, muxers }: HandshakeOptions): TLSSocket {
  if (!isServer) return connect({ socket, secureContext, rejectUnauthorized: false, ALPNProtocols: [...muxers.keys(), NO_MUXER] })
  const choose = ({ protocols }: { protocols: string[] }): string | undefined => protocols.find((name) => muxers.has(name)) ?? protocols.find((name) => name === NO_MUXER)
  return new TLSSocket(socket, { isServer, secureContext, requestCert: true, rejectUnauthorized: false, ALPNCallback: choose })
}

/**
 * Ends the link with the TLS socket, and the TLS socket with the link.
 *
 * Never the TLS socket after the raw one: Node ends it when that is closed. Before, its state could be freed while OpenSSL uses it,
 * because events come from inside of a read.
 */
function tie ({ link, socket: raw }: SocketLink, socket: TLSSocket): void {
  socket.on('error', (err) => { link.abort(err) })
  // An error after the handshake; where Node has no server of its own for the socket, it is emitted under this name only.
  socket.on('_tlsError', (err: Error) => { link.abort(err) })
  socket.once('end', () => { link.onTransportClosed() })
  link.addEventListener('close', () => { if (!raw.destroyed) socket.destroy() })
}

function abortWith ({ link }: SocketLink, { signal }: AbortOptions): Disposable {
  const onAbort = (): void => { link.abort(signal?.reason instanceof Error ? signal.reason : new Error('The TLS handshake was aborted')) }
  signal?.addEventListener('abort', onAbort)
  return { [Symbol.dispose]: () => { signal?.removeEventListener('abort', onAbort) } }
}

async function untilSecure ({ link }: SocketLink, socket: TLSSocket): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const onClose = ({ error }: { error?: Error }): void => { reject(error ?? new InvalidCryptoExchangeError('The connection ended in its TLS handshake')) }
  link.addEventListener('close', onClose)
  // OpenSSL is in the middle of a read when it says so.
  socket.once('secure', () => { setImmediate(resolve) })
  try {
    await promise
  } finally {
    link.removeEventListener('close', onClose)
  }
}

/** @throws when the peer has shown none: Node lets a client do without. */
function certificateOf (socket: TLSSocket): Uint8Array {
  const certificate = socket.getPeerX509Certificate()
  if (certificate === undefined) throw new InvalidCryptoExchangeError('The peer has shown no certificate')
  return certificate.raw
}

/** @throws when a server has chosen what was not offered. */
function muxerOf ({ alpnProtocol }: TLSSocket, muxers: HandshakeOptions['muxers']): StreamMuxerFactory | undefined {
  if (typeof alpnProtocol !== 'string' || alpnProtocol === NO_MUXER) return undefined
  const muxer = muxers.get(alpnProtocol)
  if (muxer === undefined) throw new InvalidCryptoExchangeError(`The peer has chosen the muxer ${alpnProtocol}, which was not offered`)
  return muxer
}
