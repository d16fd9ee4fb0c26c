import { generateKeyPair } from '@libp2p/crypto/keys'
import type { MessageStream, MultiaddrConnection, Upgrader } from '@libp2p/interface'
import { tcp } from '@libp2p/tcp'
import { multiaddr } from '@multiformats/multiaddr'
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect as connectRaw } from 'node:net'
import { test, type TestContext } from 'node:test'
import { connect, type TLSSocket } from 'node:tls'
import { newCertificate } from '../../test/certificates.ts'
import { until } from '../../test/harness.ts'
import { portOf } from '../../test/raw-tls.ts'
import { quietLogger } from '../quiet-logger.ts'
import { Credentials } from './credentials.ts'
import { secureSocket } from './handshake.ts'
import { socketLinkOf, type SocketLink } from './take-socket.ts'

const MIB = 1 << 20

/** The next link that somebody opens to the address, as the library's transport makes it. */
async function listenForLink (context: TestContext): Promise<{ port: number, next: Promise<SocketLink> }> {
  const { promise, resolve } = Promise.withResolvers<SocketLink>()
  const ended = Promise.withResolvers<void>()
  const upgrader: Partial<Upgrader> = {
    createInboundAbortSignal: (signal) => Object.assign(signal, { clear: () => {} }),
    upgradeInbound: async (link: MultiaddrConnection) => {
      const taken = socketLinkOf(link)
      assert.ok(taken !== undefined)
      resolve(taken)
      await ended.promise
    }
  }
  // The listener asks its upgrader for nothing else.
  const listener = tcp()({ logger: quietLogger }).createListener({ upgrader: upgrader as Upgrader })
  await listener.listen(multiaddr('/ip4/127.0.0.1/tcp/0'))
  context.after(async () => {
    ended.resolve()
    await listener.close()
  })
  return { port: portOf(String(listener.getAddrs()[0])), next: promise }
}

interface Pair extends SocketLink {
  readonly stream: MessageStream
  readonly client: TLSSocket
}

async function newPair (context: TestContext): Promise<Pair> {
  const { port, next } = await listenForLink(context)
  const { cert, key } = await newCertificate()
  const client = connect({ port, host: '127.0.0.1', cert, key, rejectUnauthorized: false, ALPNProtocols: ['libp2p'] })
  context.after(() => { client.destroy() })
  client.on('error', () => {})
  const taken = await next
  const secureContext = await new Credentials(await generateKeyPair('Ed25519')).secureContext()
  const { connection } = await secureSocket(taken, { isServer: true, secureContext, muxers: new Map(), signal: AbortSignal.timeout(5_000) })
  return { ...taken, stream: connection, client }
}

test('what waits for a slow reader is counted, and goes on when it reads', async (context) => {
  const { stream, client } = await newPair(context)
  let isDrained = false
  stream.addEventListener('drain', () => { isDrained = true })
  while (stream.writeBufferLength < MIB) stream.send(Buffer.alloc(MIB / 4))
  assert.equal(stream.writableNeedsDrain, true)
  assert.equal(isDrained, false)
  client.resume()
  await until(() => isDrained && stream.writeBufferLength === 0)
})

test('a stream that is paused reads no more from the line than fits', async (context) => {
  const { stream, socket, client } = await newPair(context)
  let receivedBytes = 0
  stream.addEventListener('message', ({ data }) => { receivedBytes += data.byteLength })
  stream.pause()
  const total = 32 * MIB
  const before = socket.bytesRead
  client.write(Buffer.alloc(total))
  let last = -1
  await until(() => {
    const isStill = socket.bytesRead > before && socket.bytesRead === last
    last = socket.bytesRead
    return isStill
  })
  assert.ok(socket.bytesRead - before < MIB, `${socket.bytesRead - before} bytes were read`)
  assert.equal(receivedBytes, 0)
  stream.resume()
  await until(() => receivedBytes === total)
})

test('a link that is closed first sends all that was given to the stream', async (context) => {
  const { stream, link, client } = await newPair(context)
  let receivedBytes = 0
  for (let count = 0; count < 16; count++) stream.send(Buffer.alloc(MIB))
  assert.ok(stream.writeBufferLength > MIB)
  const closing = link.close()
  const ended = once(client, 'end')
  client.on('data', ({ byteLength }) => { receivedBytes += byteLength })
  await Promise.all([closing, ended])
  assert.equal(receivedBytes, 16 * MIB)
  assert.equal(link.status, 'closed')
  assert.equal(stream.status, 'closed')
})

test('a link that is closed to a peer that never reads gives up with its signal, and can still be reset', async (context) => {
  const { stream, link, socket } = await newPair(context)
  for (let count = 0; count < 64; count++) stream.send(Buffer.alloc(MIB))
  const reason = new Error('long enough')
  const controller = new AbortController()
  const closing = assert.rejects(link.close({ signal: controller.signal }), (err) => err === reason)
  controller.abort(reason)
  await closing
  link.abort(reason)
  await until(() => socket.closed)
  assert.equal(stream.status, 'aborted')
})

test('a stream that is aborted resets its connection, and the peer learns of it', async (context) => {
  const { stream, link, client, socket } = await newPair(context)
  client.resume()
  const failed = new Promise<Error>((resolve) => { client.once('error', resolve) })
  stream.abort(new Error('enough'))
  assert.match((await failed).message, /ECONNRESET/)
  await until(() => client.closed && socket.closed)
  assert.equal(link.status, 'aborted')
})

test('a peer that ends its side ends the stream, which is not an error', async (context) => {
  const { stream, link, client } = await newPair(context)
  const received: Buffer[] = []
  stream.addEventListener('message', ({ data }) => { received.push(Buffer.from(data.subarray())) })
  client.end('the last words')
  await until(() => stream.status !== 'open')
  assert.equal(Buffer.concat(received).toString(), 'the last words')
  assert.deepEqual([stream.status, link.status], ['closed', 'closed'])
})

test('a handshake that its signal ends leaves no socket', async (context) => {
  const { port, next } = await listenForLink(context)
  const silent = connectRaw({ port, host: '127.0.0.1' }).on('error', () => {})
  context.after(() => { silent.destroy() })
  const { link, socket } = await next
  const secureContext = await new Credentials(await generateKeyPair('Ed25519')).secureContext()
  await assert.rejects(secureSocket({ link, socket }, { isServer: true, secureContext, muxers: new Map(), signal: AbortSignal.timeout(50) }), { name: 'TimeoutError' })
  await until(() => socket.closed)
})

test('all connections share one certificate', async () => {
  const credentials = new Credentials(await generateKeyPair('Ed25519'))
  assert.equal(await credentials.secureContext(), await credentials.secureContext())
})
