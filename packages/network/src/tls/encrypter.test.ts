import { isErrorCode } from '@holdfast/core'
import { generateKeyPair } from '@libp2p/crypto/keys'
import type { Libp2p, PrivateKey } from '@libp2p/interface'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { preSharedKey } from '@libp2p/pnet'
import { tcp } from '@libp2p/tcp'
import { tls } from '@libp2p/tls'
import { yamux } from '@libp2p/yamux'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { Duplex } from 'node:stream'
import { test, type TestContext } from 'node:test'
import { connect as connectTls, type TLSSocket } from 'node:tls'
import { type CertificateOptions, newCertificate, newKey } from '../../test/certificates.ts'
import { addressOf, newHost, until } from '../../test/harness.ts'
import { CHOICE, dialRaw, listenBetween, listenRaw, portOf } from '../../test/raw-tls.ts'
import type { PeerStream } from '../host.ts'
import { WIDE_YAMUX } from '../muxers.ts'
import { quietLogger } from '../quiet-logger.ts'
import { newSwarmKey } from '../private/swarm-key.ts'

const ECHO = '/holdfast/test/echo/1.0.0'
const MIB = 1 << 20
const TOTAL_BYTES = 64 * MIB

/** The library with its own TLS, which echoes. */
async function newLibraryPeer (context: TestContext, { privateKey, swarmKey }: { privateKey?: PrivateKey, swarmKey?: Uint8Array } = {}): Promise<Libp2p> {
  const node = await createLibp2p({
    ...(privateKey === undefined ? {} : { privateKey }),
    ...(swarmKey === undefined ? {} : { connectionProtector: preSharedKey({ psk: swarmKey }) }),
    logger: quietLogger,
    addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
    transports: [tcp()],
    connectionEncrypters: [tls()],
    streamMuxers: [yamux()],
    connectionMonitor: { enabled: false }
  })
  context.after(async () => { await node.stop() })
  await node.handle(ECHO, async (stream) => {
    for await (const bytes of stream) stream.send(bytes)
    await stream.close()
  })
  return node
}

async function echo (stream: PeerStream): Promise<void> {
  for await (const bytes of stream.read()) await stream.write([bytes])
  await stream.closeWrite()
}


/** Sends pieces that differ, ends its side, and compares what comes back. */
async function requireEcho (stream: PeerStream, totalBytes: number): Promise<void> {
  const sending = (async () => {
    for (let at = 0; at < totalBytes; at += MIB) await stream.write([Buffer.alloc(MIB, `piece ${at} `)])
    await stream.closeWrite()
  })()
  const piece = Buffer.alloc(MIB)
  let byteLength = 0
  for await (const bytes of stream.read()) {
    for (let at = 0; at < bytes.byteLength;) {
      const copied = Buffer.from(bytes.buffer, bytes.byteOffset + at, bytes.byteLength - at).copy(piece, byteLength % MIB)
      at += copied
      byteLength += copied
      if (byteLength % MIB === 0) assert.ok(piece.equals(Buffer.alloc(MIB, `piece ${byteLength - MIB} `)), `the piece that ends at ${byteLength}`)
    }
  }
  await sending
  assert.equal(byteLength, totalBytes)
}

test('64 MiB come back intact from a peer of ours, after our side has ended', async (context) => {
  const [client, server] = [await newHost(context), await newHost(context)]
  await server.handle([ECHO], echo)
  await client.connect(addressOf(server))
  await requireEcho(await client.openStream(server.peer, [ECHO]), TOTAL_BYTES)
  const [shown] = client.peers()
  assert.equal(shown?.encryption, '/tls/1.0.0')
  for (const byteLength of [shown.sentBytes, shown.receivedBytes]) assert.ok(byteLength > TOTAL_BYTES && byteLength < 1.1 * TOTAL_BYTES, `${byteLength} bytes on the wire`)
})

test('64 MiB come back intact from the TLS of js-libp2p, which we dialled', async (context) => {
  const [host, library] = [await newHost(context), await newLibraryPeer(context)]
  const peer = await host.connect(`${library.getMultiaddrs()[0]}`)
  await requireEcho(await host.openStream(peer, [ECHO]), TOTAL_BYTES)
  assert.equal(host.peers()[0]?.encryption, '/tls/1.0.0')
})

test('64 MiB come back intact from the TLS of js-libp2p, which dialled us', async (context) => {
  const [host, library] = [await newHost(context), await newLibraryPeer(context)]
  await library.dial(multiaddr(addressOf(host)))
  await until(() => host.peers().length === 1)
  await requireEcho(await host.openStream(library.peerId.toString(), [ECHO]), TOTAL_BYTES)
  assert.equal(host.peers()[0]?.encryption, '/tls/1.0.0')
})

for (const [type, make] of Object.entries({
  Ed25519: async () => await generateKeyPair('Ed25519'),
  secp256k1: async () => await generateKeyPair('secp256k1'),
  RSA: async () => await generateKeyPair('RSA', 2048)
})) {
  test(`a peer with a key of type ${type} is known by it, whoever dials`, async (context) => {
    const privateKey = await make()
    const peer = peerIdFromPrivateKey(privateKey).toString()
    const library = await newLibraryPeer(context, { privateKey })
    const [dialled, dialling] = [await newHost(context), await newHost(context)]
    await library.dial(multiaddr(addressOf(dialled)))
    await until(() => dialled.isConnected(peer))
    assert.equal(await dialling.connect(`${library.getMultiaddrs()[0]}`), peer)
  })
}

test('a link of a private network is encrypted under its swarm key, not beside it', async (context) => {
  const swarmKey = newSwarmKey()
  const host = await newHost(context, { swarmKey })
  const library = await newLibraryPeer(context, { swarmKey })
  const peer = await host.connect(`${library.getMultiaddrs()[0]}`)
  await requireEcho(await host.openStream(peer, [ECHO]), MIB)
  assert.equal(host.peers()[0]?.encryption, '/tls/1.0.0')
})

const [other, wrong] = [newKey(), newKey()]

/** What a peer may not show, and why. */
const HOSTILE: Readonly<Record<string, CertificateOptions>> = {
  'that has expired': { notAfter: new Date(Date.now() - 60_000) },
  'that is not valid yet': { notBefore: new Date(Date.now() + 60_000) },
  'without the extension of libp2p': { extension: 'absent' },
  'with junk for an extension': { extension: 'junk' },
  'whose proof is for another key': { signedKey: other.publicKey },
  'that claims the identity of somebody else': { claimed: await generateKeyPair('Ed25519') },
  'that another key has signed': { issuer: wrong.privateKey }
}

for (const [what, options] of Object.entries(HOSTILE)) {
  test(`a certificate ${what} opens no connection`, async (context) => {
    const certificate = await newCertificate(options)
    const host = await newHost(context)
    const socket = await dialRaw(context, addressOf(host), certificate)
    await untilClosed(socket)
    const { address } = await listenRaw(context, peerIdFromPrivateKey(certificate.identity).toString(), certificate)
    await assert.rejects(host.connect(address), (err) => isErrorCode(err, 'UNAVAILABLE'))
    assert.deepEqual(host.peers(), [])
  })
}

test('a client without a certificate opens no connection', async (context) => {
  const host = await newHost(context)
  await untilClosed(await dialRaw(context, addressOf(host), {}))
  assert.deepEqual(host.peers(), [])
})

test('a good certificate opens one, and of several the first alone tells who the peer is', async (context) => {
  const [first, second] = [await newCertificate(), await newCertificate()]
  const host = await newHost(context)
  const socket = await dialRaw(context, addressOf(host), { key: first.key, cert: first.cert + second.cert })
  await until(() => host.peers().length === 1)
  assert.equal(host.peers()[0]?.peer, peerIdFromPrivateKey(first.identity).toString())
  assert.equal(socket.getProtocol(), 'TLSv1.3')
})

for (const [offer, chosen] of [
  [[WIDE_YAMUX, '/yamux/1.0.0', 'libp2p'], WIDE_YAMUX],
  [['libp2p', '/mplex/6.7.0', '/yamux/1.0.0'], '/yamux/1.0.0'],
  [['/mplex/6.7.0', 'libp2p'], 'libp2p'],
  [[], false]
] as const) {
  test(`of the muxers "${offer.join(' ')}" ${chosen === false ? 'none' : chosen} is chosen in the handshake`, async (context) => {
    const host = await newHost(context)
    const socket = await dialRaw(context, addressOf(host), { ...await newCertificate(), alpn: offer })
    await once(socket, 'secureConnect')
    assert.equal(socket.alpnProtocol, chosen)
  })
}

test('a client that speaks nothing we do is refused', async (context) => {
  const host = await newHost(context)
  const socket = await dialRaw(context, addressOf(host), { ...await newCertificate(), alpn: ['h2'] })
  await untilClosed(socket)
  assert.deepEqual(host.peers(), [])
})

test('TLS 1.2 is refused', async (context) => {
  const host = await newHost(context)
  await untilClosed(await dialRaw(context, addressOf(host), { ...await newCertificate(), maxVersion: 'TLSv1.2' }))
  assert.deepEqual(host.peers(), [])
})

test('nobody comes back without a certificate by a ticket', async (context) => {
  const certificate = await newCertificate()
  const host = await newHost(context)
  const sessions: Buffer[] = []
  const first = await dialRaw(context, addressOf(host), certificate)
  first.on('session', (session: Buffer) => { sessions.push(session) })
  await until(() => host.peers().length === 1)
  // The first bytes of the host come after its tickets.
  await until(() => first.bytesRead > 0 && first.readableLength > 0)
  for (const session of sessions) {
    const again = await dialRaw(context, addressOf(host), { ...certificate, session })
    await once(again, 'secureConnect')
    assert.equal(again.isSessionReused(), false)
  }
})

test('a handshake that begins before the choice of TLS is answered loses nothing', async (context) => {
  const host = await newHost(context)
  const { cert, key, identity } = await newCertificate()
  const socket = connect({ port: portOf(addressOf(host)), host: '127.0.0.1' })
  context.after(() => { socket.destroy() })
  const eager = connectTls({ socket: behindChoice(socket), cert, key, rejectUnauthorized: false, ALPNProtocols: ['/yamux/1.0.0'] })
  eager.on('error', () => {})
  await until(() => host.isConnected(peerIdFromPrivateKey(identity).toString()))
})

/** A stream that says its choice in one packet with what comes first, and hides the answer to it. */
function behindChoice (socket: Socket): Duplex {
  let hiddenBytes = CHOICE.byteLength
  let isFirst = true
  const duplex = new Duplex({
    read () {},
    write (chunk: Buffer, _, callback) {
      socket.write(isFirst ? Buffer.concat([CHOICE, chunk]) : chunk, callback)
      isFirst = false
    }
  })
  socket.on('error', () => {}).on('data', (chunk) => {
    const rest = chunk.subarray(Math.min(hiddenBytes, chunk.byteLength))
    hiddenBytes -= chunk.byteLength - rest.byteLength
    if (rest.byteLength > 0) duplex.push(rest)
  })
  return duplex
}

test('a dial that is given up in the handshake closes its socket', async (context) => {
  const host = await newHost(context)
  const { address, sockets } = await listenRaw(context, peerIdFromPrivateKey(await generateKeyPair('Ed25519')).toString())
  const reason = new Error('given up')
  const controller = new AbortController()
  const dialling = assert.rejects(host.connect(address, { signal: controller.signal }), (err) => err === reason)
  // The choice has been read and answered; what follows is the start of TLS, which is not.
  await until(() => sockets.some(({ bytesRead }) => bytesRead > CHOICE.byteLength))
  controller.abort(reason)
  await dialling
  for (const socket of sockets) socket.resume()
  await until(() => sockets.every(({ closed }) => closed))
})

test('a byte that was changed on the way ends the connection, on both sides', async (context) => {
  for (const toServer of [true, false]) {
    const [client, server] = [await newHost(context), await newHost(context)]
    await server.handle([ECHO], echo)
    let isHonest = true
    const address = await listenBetween(context, addressOf(server), (chunk, to, from) => {
      const isChanged = (from.remotePort !== portOf(addressOf(server))) === toServer
      if (!isHonest && isChanged) chunk.writeUInt8(chunk.readUInt8(chunk.byteLength - 1) ^ 1, chunk.byteLength - 1)
      // Who is lied to ends it alone: its alert does not arrive.
      if (isHonest || isChanged) to.write(chunk)
    })
    await client.connect(address)
    await until(() => server.isConnected(client.peer))
    await requireEcho(await client.openStream(server.peer, [ECHO]), MIB)
    isHonest = false
    await assert.rejects(async () => { await requireEcho(await client.openStream(server.peer, [ECHO]), MIB) }, (err) => isErrorCode(err, 'UNAVAILABLE'))
    await until(() => !server.isConnected(client.peer) && !client.isConnected(server.peer))
  }
})

test('a connection that is reset after any number of bytes leaves nothing behind', async (context) => {
  const [client, server] = [await newHost(context), await newHost(context)]
  let fuseBytes = 0
  const open = new Set<Socket>()
  const address = await listenBetween(context, addressOf(server), (chunk, to, from) => {
    for (const socket of [to, from]) if (!open.has(socket)) open.add(socket.once('close', () => { open.delete(socket) }))
    to.write(chunk.subarray(0, fuseBytes))
    fuseBytes -= Math.min(chunk.byteLength, fuseBytes)
    if (fuseBytes === 0) setImmediate(() => { for (const socket of [to, from]) socket.resetAndDestroy() })
  })
  for (let bytes = 0; bytes < 4000; bytes += bytes < 64 ? 8 : 97) {
    fuseBytes = bytes
    await client.connect(address).then(async () => { await until(() => client.peers().length === 0) }, (err: unknown) => { assert.ok(isErrorCode(err, 'UNAVAILABLE')) })
    await until(() => open.size === 0 && client.peers().length === 0 && server.peers().length === 0)
  }
  await client.connect(addressOf(server))
})

async function untilClosed (socket: TLSSocket): Promise<void> {
  await until(() => socket.closed)
}
