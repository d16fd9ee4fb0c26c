import { isErrorCode } from '@holdfast/core'
import assert from 'node:assert/strict'
import { createServer } from 'node:net'
import { once } from 'node:events'
import { test } from 'node:test'
import { addressOf, newHost, readAll, until } from '../test/harness.ts'
import type { DialAttempt } from './host.ts'

const ECHO = '/holdfast/test/echo/1.0.0'

test('a stream carries bytes both ways, and each side ends on its own', async (context) => {
  const [client, server] = [await newHost(context), await newHost(context)]
  await server.handle([ECHO], async (stream) => { for await (const bytes of stream.read()) await stream.write([bytes]); await stream.closeWrite() })
  await client.connect(addressOf(server))

  const sent = Buffer.alloc(3 << 20, 'holdfast')
  await using stream = await client.openStream(server.peer, [ECHO])
  const received = readAll(stream.read())
  await stream.write([sent.subarray(0, 1), sent.subarray(1, 70_000), sent.subarray(70_000)])
  await stream.closeWrite()
  assert.ok((await received).equals(sent))
})

test('peers are shown with what is known of them', async (context) => {
  const [client, server] = [await newHost(context), await newHost(context)]
  await server.handle([ECHO], async () => {})
  await client.connect(addressOf(server))
  await until(() => client.peers()[0]?.protocols.includes(ECHO) === true)

  const [shown] = client.peers()
  assert.equal(shown?.peer, server.peer)
  assert.equal(shown?.direction, 'outbound')
  assert.equal(shown?.encryption, '/tls/1.0.0')
  assert.equal(shown?.isRelayed, false)
  assert.deepEqual(shown?.addresses, server.addresses())
  assert.ok(shown.sentBytes > 0 && shown.receivedBytes > 0)
  assert.ok(Math.abs(Date.now() - shown.sinceMs) < 60_000)
  assert.equal(server.peers()[0]?.direction, 'inbound')
  assert.equal(client.isConnected(server.peer), true)
})

test('others are told the addresses that are announced, and no other', async (context) => {
  const behind = await newHost(context)
  const port = addressOf(behind).split('/')[4]
  await behind[Symbol.asyncDispose]()
  const announced = `/dns4/localhost/tcp/${port}`
  const [client, server] = [await newHost(context), await newHost(context, { listen: [`/ip4/127.0.0.1/tcp/${port}`], announce: [announced] })]
  assert.deepEqual(server.addresses(), [`${announced}/p2p/${server.peer}`])
  await server.connect(addressOf(client))
  await until(() => (client.peers()[0]?.protocols.length ?? 0) > 0)
  await client.disconnect(server.peer)
  await until(() => !server.isConnected(client.peer))
  // What it knows of the other came from the other alone.
  await client.connect(server.peer)
  assert.match(client.peers()[0]?.addresses[0] ?? '', new RegExp(`/tcp/${port}/p2p/${server.peer}$`))
  await assert.rejects(newHost(context, { announce: ['/ip4/nowhere/tcp/1'] }), (err) => isErrorCode(err, 'INVALID') && err.message.includes('/ip4/nowhere/tcp/1'))
})

test('the first protocol that the peer speaks is taken', async (context) => {
  const [client, server] = [await newHost(context), await newHost(context)]
  await server.handle(['/holdfast/test/old/1.0.0'], async (stream) => { await stream.closeWrite() })
  await client.connect(addressOf(server))
  await using stream = await client.openStream(server.peer, [ECHO, '/holdfast/test/old/1.0.0'])
  assert.equal(stream.protocol, '/holdfast/test/old/1.0.0')
  await assert.rejects(client.openStream(server.peer, [ECHO]), (err) => isErrorCode(err, 'UNSUPPORTED') && err.message.includes(ECHO))
})

test('a protocol is no longer answered when its handler is disposed', async (context) => {
  const [client, server] = [await newHost(context), await newHost(context)]
  const handler = await server.handle([ECHO], async () => {})
  await client.connect(addressOf(server))
  await handler[Symbol.asyncDispose]()
  await assert.rejects(client.openStream(server.peer, [ECHO]), (err) => isErrorCode(err, 'UNSUPPORTED'))
})

test('watchers see who is there, who comes and who goes, until they are disposed', async (context) => {
  const [client, server, late] = [await newHost(context), await newHost(context), await newHost(context)]
  await client.connect(addressOf(server))
  const events: string[] = []
  const watch = client.watchPeers({ connected: (peer) => { events.push(`+${peer}`) }, disconnected: (peer) => { events.push(`-${peer}`) } })
  assert.deepEqual(events, [`+${server.peer}`])
  await late.connect(addressOf(client))
  await until(() => events.includes(`+${late.peer}`))
  await client.disconnect(server.peer)
  await until(() => events.includes(`-${server.peer}`))
  watch[Symbol.dispose]()
  await late.disconnect(client.peer)
  await until(() => !client.isConnected(late.peer))
  assert.equal(events.length, 3)
})

test('bytes are counted in all, by peer and by protocol', async (context) => {
  const [client, server] = [await newHost(context), await newHost(context)]
  await server.handle([ECHO], async (stream) => { await readAll(stream.read()) })
  await client.connect(addressOf(server))
  {
    await using stream = await client.openStream(server.peer, [ECHO])
    await stream.write([Buffer.alloc(1 << 20)])
    await stream.closeWrite()
    await readAll(stream.read())
  }
  const { total, byPeer, byProtocol } = client.traffic()
  assert.equal(byProtocol[ECHO]?.sentBytes, 1 << 20)
  assert.ok(total.sentBytes > 1 << 20 && total.sentBytes < 1.1 * (1 << 20), `${total.sentBytes} bytes`)
  assert.equal(byPeer[server.peer]?.sentBytes, total.sentBytes)
  assert.equal(total.sentBytes, (byProtocol[ECHO]?.sentBytes ?? 0) + (byProtocol['other']?.sentBytes ?? 0))
  await client.disconnect(server.peer)
  assert.ok(client.traffic().total.sentBytes >= total.sentBytes, 'what was counted stays')
})

const SOMEBODY = '12D3KooWRBhwfeP2Y4TCx1SM6s9rUoHhR5STiGwxBhgFRcw3UERE'

for (const [what, address] of Object.entries({
  'no multiaddr': 'example.com:4001',
  'no peer id in it': '/ip4/127.0.0.1/tcp/1',
  'half a peer id': `/ip4/127.0.0.1/tcp/1/p2p/${SOMEBODY.slice(0, 20)}`,
  'an unknown part': `/ip4/127.0.0.1/carrier-pigeon/1/p2p/${SOMEBODY}`,
  'an endless text': `/ip4/127.0.0.1${'/tcp/1'.repeat(10_000)}`
})) {
  test(`an address with ${what} is INVALID`, async (context) => {
    const host = await newHost(context)
    await assert.rejects(host.connect(address), (err) => isErrorCode(err, 'INVALID') && err.message.length < 400)
  })
}

test('this node itself is not dialled, under whatever name', async (context) => {
  const [client, server] = [await newHost(context), await newHost(context)]
  await assert.rejects(client.connect(addressOf(client)), (err) => isErrorCode(err, 'INVALID'))
  // Somebody else says that he is where we are.
  const lie = addressOf(client).replace(client.peer, server.peer)
  await assert.rejects(client.connect(lie), (err) => isErrorCode(err, 'UNAVAILABLE') && err.message.includes(server.peer) && /this node itself is at this address/.test(err.message))
})

test('another peer at the address is UNAVAILABLE and says so', async (context) => {
  const [client, server] = [await newHost(context), await newHost(context)]
  const wrong = addressOf(server).replace(server.peer, SOMEBODY)
  await assert.rejects(client.connect(wrong), (err) => isErrorCode(err, 'UNAVAILABLE') && err.message.includes(SOMEBODY) && err.message.includes(`another peer is at this address: ${server.peer}`))
  assert.deepEqual(client.peers(), [])
})

test('a failed dial lists each address that was tried', async (context) => {
  const client = await newHost(context)
  const port = await closedPort()
  const addresses = [`/ip4/127.0.0.1/tcp/${port}`, `/ip4/127.0.0.2/tcp/${port}`]
  await client.addKnownAddresses(SOMEBODY, [...addresses, 'not an address'])
  await assert.rejects(client.connect(SOMEBODY), (err) => {
    assert.ok(isErrorCode(err, 'UNAVAILABLE'))
    const attempts = err.details['attempts'] as readonly DialAttempt[]
    assert.deepEqual(attempts.map(({ address }) => address).toSorted(), addresses.map((address) => `${address}/p2p/${SOMEBODY}`))
    assert.ok(attempts.every(({ reason }) => reason.includes('ECONNREFUSED')))
    return true
  })
})

test('a peer of whom nothing is known is UNAVAILABLE at once', async (context) => {
  const client = await newHost(context)
  await assert.rejects(client.openStream(SOMEBODY, [ECHO]), (err) => isErrorCode(err, 'UNAVAILABLE') && err.message.includes('no address'))
})

test('an aborted dial rejects with the reason given', async (context) => {
  const client = await newHost(context)
  const silent = createServer().listen(0, '127.0.0.1')
  await once(silent, 'listening')
  context.after(() => { silent.close() })
  const reason = new Error('changed my mind')
  const controller = new AbortController()
  setTimeout(() => { controller.abort(reason) }, 100)
  await assert.rejects(client.connect(`/ip4/127.0.0.1/tcp/${portOf(silent)}/p2p/${SOMEBODY}`, { signal: controller.signal }), (err) => err === reason)
  await assert.rejects(client.connect(SOMEBODY, { signal: AbortSignal.abort(reason) }), (err) => err === reason)
})

test('a port that is taken is UNAVAILABLE and named', async (context) => {
  const taken = createServer().listen(0, '127.0.0.1')
  await once(taken, 'listening')
  context.after(() => { taken.close() })
  const address = `/ip4/127.0.0.1/tcp/${portOf(taken)}`
  await assert.rejects(newHost(context, { listen: [address] }), (err) => isErrorCode(err, 'UNAVAILABLE') && err.message.includes(address) && err.message.includes('another program'))
})

test('a network that is off reaches nobody and fails with a reason', async (context) => {
  const host = await newHost(context, { mode: 'off' })
  assert.deepEqual(host.addresses(), [])
  await assert.rejects(host.connect(SOMEBODY), (err) => isErrorCode(err, 'UNAVAILABLE') && err.message.includes('off'))
})

function portOf (server: ReturnType<typeof createServer>): number {
  const address = server.address()
  assert.ok(address !== null && typeof address === 'object')
  return address.port
}

async function closedPort (): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const port = portOf(server)
  server.close()
  await once(server, 'close')
  return port
}
