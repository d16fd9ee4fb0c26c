/** The lower half of a peer by hand: multistream, then TLS with whatever certificate. */
import { once } from 'node:events'
import { connect, createServer, type Server, type Socket } from 'node:net'
import type { TestContext } from 'node:test'
import { connect as connectTls, type SecureContextOptions, TLSSocket } from 'node:tls'

/** What each side says to agree on TLS. */
export const CHOICE: Buffer = Buffer.from('\x13/multistream/1.0.0\n\x0b/tls/1.0.0\n')

export interface RawOptions extends SecureContextOptions {
  readonly alpn?: readonly string[]
  readonly session?: Buffer
}

export function portOf (address: string): number {
  return Number(/\/tcp\/(\d+)/.exec(address)?.[1])
}

/** Dials, agrees on TLS, and begins the handshake as the client. */
export async function dialRaw (context: TestContext, address: string, { alpn = ['/yamux/1.0.0', 'libp2p'], session, ...options }: RawOptions): Promise<TLSSocket> {
  const socket = connect({ port: portOf(address), host: '127.0.0.1' })
  context.after(() => { socket.destroy() })
  socket.write(CHOICE)
  await readChoice(socket)
  const tls = connectTls({ socket, ...options, ...(session === undefined ? {} : { session }), ALPNProtocols: [...alpn], rejectUnauthorized: false })
  return tls.on('error', () => {})
}

/** Listens, agrees on TLS, and shakes hands as the server; without options it says nothing after that. Returns its address. */
export async function listenRaw (context: TestContext, peer: string, options?: RawOptions): Promise<{ address: string, sockets: Socket[] }> {
  const sockets: Socket[] = []
  const server = createServer((socket) => {
    sockets.push(socket.on('error', () => {}))
    readChoice(socket).then(() => {
      socket.write(CHOICE)
      if (options !== undefined) new TLSSocket(socket, { isServer: true, ...options, requestCert: true, rejectUnauthorized: false, ALPNProtocols: ['/yamux/1.0.0'] }).on('error', () => {})
    }, () => {})
  })
  const port = await listening(context, server, sockets)
  return { address: `/ip4/127.0.0.1/tcp/${port}/p2p/${peer}`, sockets }
}

/** A line to `address` on which what passes can be changed or cut. Returns the address before it. */
export async function listenBetween (context: TestContext, address: string, pass: (chunk: Buffer, to: Socket, from: Socket) => void): Promise<string> {
  const sockets: Socket[] = []
  const server = createServer((socket) => {
    const onward = connect({ port: portOf(address), host: '127.0.0.1' })
    sockets.push(socket, onward)
    socket.on('error', () => {}).on('data', (chunk) => { pass(chunk, onward, socket) }).once('close', () => { onward.destroy() })
    onward.on('error', () => {}).on('data', (chunk) => { pass(chunk, socket, onward) }).once('close', () => { socket.destroy() })
  })
  const port = await listening(context, server, sockets)
  return address.replace(/\/tcp\/\d+/, `/tcp/${port}`)
}

async function listening (context: TestContext, server: Server, sockets: readonly Socket[]): Promise<number> {
  context.after(() => {
    server.close()
    for (const socket of sockets) socket.destroy()
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const address = server.address()
  if (address === null || typeof address !== 'object') throw new Error('The server listens nowhere')
  return address.port
}

/** Takes the choice of the other side off a socket, and not a byte more. */
async function readChoice (socket: Socket): Promise<void> {
  while (socket.readableLength < CHOICE.byteLength) await once(socket, 'readable')
  socket.read(CHOICE.byteLength)
}
