import { isErrorCode } from '@holdfast/core'
import { noise } from '@chainsafe/libp2p-noise'
import { preSharedKey } from '@libp2p/pnet'
import { tcp } from '@libp2p/tcp'
import { yamux } from '@libp2p/yamux'
import { createLibp2p } from 'libp2p'
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type Socket } from 'node:net'
import { test } from 'node:test'
import { addressOf, newHost, readAll } from '../../test/harness.ts'
import { newSwarmKey } from './swarm-key.ts'

const ECHO = '/holdfast/test/echo/1.0.0'
const SOMEBODY = '12D3KooWRBhwfeP2Y4TCx1SM6s9rUoHhR5STiGwxBhgFRcw3UERE'

test('a peer with the protector of js-libp2p and the same key is understood', async (context) => {
  const swarmKey = newSwarmKey()
  const host = await newHost(context, { swarmKey })
  const other = await createLibp2p({ addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] }, transports: [tcp()], connectionProtector: preSharedKey({ psk: swarmKey }), connectionEncrypters: [noise()], streamMuxers: [yamux()] })
  context.after(async () => { await other.stop() })
  await other.handle(ECHO, async (stream) => {
    for await (const bytes of stream) stream.send(bytes)
    await stream.close()
  })
  const peer = await host.connect(`${other.getMultiaddrs()[0]}`)
  await using stream = await host.openStream(peer, [ECHO])
  const sent = Buffer.alloc(100_000, 'the same words')
  const received = readAll(stream.read())
  await stream.write([sent])
  await stream.closeWrite()
  assert.ok((await received).equals(sent))
})

test('many links of a private network come and go', async (context) => {
  const swarmKey = newSwarmKey()
  const [client, server] = [await newHost(context, { swarmKey }), await newHost(context, { swarmKey })]
  for (let count = 0; count < 50; count++) {
    await client.connect(addressOf(server))
    await client.disconnect(server.peer)
  }
  await client.connect(addressOf(server))
  const [shown] = client.peers()
  assert.ok(shown !== undefined && shown.sentBytes > 0, 'bytes on the wire are still counted')
})

test('a peer that never answers the greeting is given up with a word about the swarm key', async (context) => {
  const host = await newHost(context, { swarmKey: newSwarmKey() })
  const sockets = new Set<Socket>()
  const silent = createServer((socket) => { sockets.add(socket.on('error', () => {})) }).listen(0, '127.0.0.1')
  await once(silent, 'listening')
  context.after(() => {
    silent.close()
    for (const socket of sockets) socket.destroy()
  })
  const address = silent.address()
  assert.ok(address !== null && typeof address === 'object')
  await assert.rejects(host.connect(`/ip4/127.0.0.1/tcp/${address.port}/p2p/${SOMEBODY}`), (err) => isErrorCode(err, 'UNAVAILABLE') && err.message.includes('swarm key'))
})
