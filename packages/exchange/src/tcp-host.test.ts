/**
 * A network for tests: real sockets on loopback, one per stream, so that back-pressure is the kernel's.
 *
 * ```
 * hello  = JSON line { peer, protocols }   first on every socket; no protocols: the connection itself
 * answer = JSON line { protocol }          the rest of the socket is the stream
 * ```
 */
import { type AbortOptions, HoldfastError } from '@holdfast/core'
import { ByteLedger, type ConnectedPeer, type HeldBytes, type PeerId, type PeerStream, type PeerWatcher } from '@holdfast/network'
import { once } from 'node:events'
import { createServer, type AddressInfo, connect, type Server, type Socket } from 'node:net'
import type { ExchangeHost } from './exchange-host.ts'

/** Bytes that a stream buffers before `write` waits. */
const WRITE_BUFFER_BYTES = 256 * 1024

interface Hello {
  readonly peer: PeerId
  readonly protocols: readonly string[]
}

type Handler = (stream: PeerStream) => Promise<void>

export async function openTcpHost (peer: PeerId): Promise<TcpHost> {
  const host = new TcpHost(peer)
  await host.listen()
  return host
}

export class TcpHost implements ExchangeHost, AsyncDisposable {
  readonly peer: PeerId
  /** Streams that were opened here, by protocol: to show that they live long. */
  readonly openedStreams: string[] = []
  /** What `peers()` says that they speak. */
  spoken: readonly string[] = []
  /** `port/peer`: what `connect` takes. */
  address = ''
  readonly #server: Server
  readonly #handlers = new Map<string, Handler>()
  readonly #listeners = new Set<PeerWatcher>()
  readonly #connections = new Map<PeerId, Socket>()
  readonly #sockets = new Set<Socket>()
  readonly #addresses = new Map<PeerId, string>()
  readonly #ledger = new ByteLedger(({ peer }) => { void this.disconnect(peer) })

  constructor (peer: PeerId) {
    this.peer = peer
    this.#server = createServer({ noDelay: true, allowHalfOpen: true }, (socket) => { void this.#accept(socket).catch(() => { socket.destroy() }) })
  }

  async listen (): Promise<void> {
    this.#server.listen(0, '127.0.0.1')
    await once(this.#server, 'listening')
    this.address = `${(this.#server.address() as AddressInfo).port}/${this.peer}`
  }

  peers (): ConnectedPeer[] {
    return this.#connections.keys().map((peer) => ({
      peer, addresses: [], direction: 'outbound' as const, protocols: this.spoken, sentBytes: 0, receivedBytes: 0, sinceMs: 0, encryption: 'none', isRelayed: false
    })).toArray()
  }

  isConnected (peer: PeerId): boolean {
    return this.#connections.has(peer)
  }

  async connect (address: string, { signal }: AbortOptions = {}): Promise<PeerId> {
    signal?.throwIfAborted()
    const known = address.includes('/') ? address : this.#addresses.get(address)
    if (known === undefined) throw new HoldfastError('UNAVAILABLE', `No address of ${address} is known`)
    const peer = known.slice(known.indexOf('/') + 1)
    this.#addresses.set(peer, known)
    if (this.#connections.has(peer)) return peer
    const { socket } = await this.#dial(peer, [])
    this.#connected(peer, socket)
    return peer
  }

  async disconnect (peer: PeerId): Promise<void> {
    this.#connections.get(peer)?.destroy()
  }

  async openStream (peer: PeerId, protocols: readonly string[]): Promise<PeerStream> {
    const { socket, answer } = await this.#dial(peer, protocols)
    this.openedStreams.push(answer)
    return new TcpStream(socket, peer, answer)
  }

  async handle (protocols: readonly string[], handler: Handler): Promise<AsyncDisposable> {
    for (const protocol of protocols) this.#handlers.set(protocol, handler)
    return { [Symbol.asyncDispose]: async () => { for (const protocol of protocols) this.#handlers.delete(protocol) } }
  }

  /** Answers only these protocols from now on. */
  speakOnly (protocols: readonly string[]): void {
    for (const protocol of this.#handlers.keys()) if (!protocols.includes(protocol)) this.#handlers.delete(protocol)
  }

  watchPeers (listener: PeerWatcher): Disposable {
    this.#listeners.add(listener)
    for (const peer of this.#connections.keys()) listener.connected(peer)
    return { [Symbol.dispose]: () => { this.#listeners.delete(listener) } }
  }

  async addKnownAddresses (peer: PeerId, [address]: readonly string[]): Promise<void> {
    if (address !== undefined) this.#addresses.set(peer, address)
  }

  holdBytes (peer: PeerId): HeldBytes {
    return this.#ledger.hold(peer)
  }

  allowBytes (peer: PeerId, maxBytes: number): Disposable {
    return this.#ledger.allow(peer, maxBytes)
  }

  async [Symbol.asyncDispose] (): Promise<void> {
    this.#server.close()
    for (const socket of this.#sockets) socket.destroy()
  }

  async #dial (peer: PeerId, protocols: readonly string[]): Promise<{ socket: Socket, answer: string }> {
    const port = Number(this.#addresses.get(peer)?.split('/')[0])
    const socket = connect({ port, host: '127.0.0.1', noDelay: true, allowHalfOpen: true })
    this.#keep(socket)
    const hello: Hello & { address: string } = { peer: this.peer, protocols, address: this.address }
    socket.write(`${JSON.stringify(hello)}\n`)
    const line = await readLine(socket)
    const answer = JSON.parse(line) as { protocol?: string }
    if (answer.protocol !== undefined) return { socket, answer: answer.protocol }
    socket.destroy()
    throw new HoldfastError('UNSUPPORTED', `Peer ${peer} speaks none of ${protocols.join(', ')}`)
  }

  async #accept (socket: Socket): Promise<void> {
    this.#keep(socket)
    const { peer, protocols, address } = JSON.parse(await readLine(socket)) as Hello & { address: string }
    this.#addresses.set(peer, address)
    if (protocols.length === 0) {
      socket.write('{"protocol":""}\n')
      this.#connected(peer, socket)
      return
    }
    const protocol = protocols.find((name) => this.#handlers.has(name))
    socket.write(`${JSON.stringify({ protocol })}\n`)
    if (protocol !== undefined) await this.#handlers.get(protocol)?.(new TcpStream(socket, peer, protocol))
    socket.end()
  }

  #connected (peer: PeerId, socket: Socket): void {
    this.#connections.set(peer, socket)
    socket.resume()
    socket.once('end', () => { socket.end() })
    socket.once('close', () => {
      if (this.#connections.get(peer) !== socket) return
      this.#connections.delete(peer)
      for (const listener of this.#listeners) listener.disconnected(peer)
    })
    for (const listener of this.#listeners) listener.connected(peer)
  }

  #keep (socket: Socket): void {
    this.#sockets.add(socket)
    socket.on('error', () => {}) // Whoever uses the socket sees that it is closed.
    socket.once('close', () => { this.#sockets.delete(socket) })
  }
}

class TcpStream implements PeerStream {
  readonly peer: PeerId
  readonly protocol: string
  readonly connectionId = 'tcp'
  readonly #socket: Socket

  constructor (socket: Socket, peer: PeerId, protocol: string) {
    this.#socket = socket
    this.peer = peer
    this.protocol = protocol
  }

  async * read (): AsyncIterable<Uint8Array> {
    for await (const chunk of this.#socket.iterator({ destroyOnReturn: false })) yield chunk as Uint8Array
  }

  async write (parts: readonly Uint8Array[]): Promise<void> {
    const socket = this.#socket
    if (socket.destroyed) throw new HoldfastError('UNAVAILABLE', 'Stream is closed')
    socket.cork()
    for (const part of parts) socket.write(part)
    socket.uncork()
    while (socket.writableLength > WRITE_BUFFER_BYTES) {
      await new Promise<void>((resolve, reject) => {
        const ended = (): void => { reject(new HoldfastError('UNAVAILABLE', 'Stream was closed while a write waited')) }
        socket.once('close', ended)
        socket.once('drain', () => {
          socket.off('close', ended)
          resolve()
        })
      })
    }
  }

  async closeWrite (): Promise<void> {
    this.#socket.end()
  }

  abort (): void {
    this.#socket.resetAndDestroy()
  }

  async [Symbol.asyncDispose] (): Promise<void> {
    this.#socket.destroy()
  }
}

/** Reads up to the first line feed and leaves the rest in the socket. */
async function readLine (socket: Socket): Promise<string> {
  const bytes: Uint8Array[] = []
  for (;;) {
    const byte = socket.read(1) as Uint8Array | null
    if (byte === null) {
      if (socket.destroyed || socket.readableEnded) throw new HoldfastError('UNAVAILABLE', 'Connection was closed')
      await Promise.race([once(socket, 'readable'), once(socket, 'close')])
    } else if (byte[0] === 0x0a) {
      return Buffer.concat(bytes).toString()
    } else {
      bytes.push(byte)
    }
  }
}
