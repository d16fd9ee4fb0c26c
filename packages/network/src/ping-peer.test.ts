import { isErrorCode } from '@holdfast/core'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { addressOf, newHost } from '../test/harness.ts'
import type { Host } from './host.ts'
import { pingPeer } from './ping-peer.ts'

test('a ping is answered, as often as it is sent, and takes some time', async (context) => {
  const [client, server] = [await newHost(context), await newHost(context)]
  await client.connect(addressOf(server))
  for (let count = 0; count < 3; count++) assert.ok(await pingPeer(client, server.peer) > 0)
})

test('a ping dials a peer whose address is known', async (context) => {
  const [client, server] = [await newHost(context), await newHost(context)]
  await client.addKnownAddresses(server.peer, server.addresses())
  assert.ok(await pingPeer(client, server.peer) > 0)
})

test('a ping of a peer that is nowhere fails with what was tried', async (context) => {
  const [client, gone] = [await newHost(context), await newHost(context)]
  const address = addressOf(gone)
  await gone[Symbol.asyncDispose]()
  await client.addKnownAddresses(gone.peer, [address])
  await assert.rejects(pingPeer(client, gone.peer), (err) => isErrorCode(err, 'UNAVAILABLE') && Array.isArray(err.details.attempts))
})

test('a ping ends with the reason of whoever aborts it, and with CORRUPT when other bytes come back', async (context) => {
  const [client, server] = [await newHost(context), await newHost(context)]
  const held = Promise.withResolvers<void>()
  context.after(() => { held.resolve() })
  const asked = Promise.withResolvers<void>()
  await server.handle(['/test/silent'], async () => {
    asked.resolve()
    await held.promise
  })
  await server.handle(['/test/wrong'], async (stream) => { await stream.write([new Uint8Array(32)]) })
  await client.connect(addressOf(server))
  const answeredBy = (protocol: string): Pick<Host, 'openStream'> => ({ openStream: async (peer, _, options) => await client.openStream(peer, [protocol], options) })

  const reason = new Error('enough')
  const controller = new AbortController()
  const waiting = pingPeer(answeredBy('/test/silent'), server.peer, { signal: controller.signal })
  asked.promise.then(() => { controller.abort(reason) }, () => {})
  await assert.rejects(waiting, (err) => err === reason)
  await assert.rejects(pingPeer(answeredBy('/test/wrong'), server.peer), (err) => isErrorCode(err, 'CORRUPT'))
})

test('a peer says who it is and what it speaks, also when it has to be dialled first', async (context) => {
  const [client, server] = [await newHost(context), await newHost(context)]
  await server.handle(['/test/own'], async () => {})
  await client.addKnownAddresses(server.peer, server.addresses())
  const identity = await client.identify(server.peer)
  assert.deepEqual([identity.peer, identity.agent], [server.peer, 'holdfast'])
  assert.ok(identity.protocols.includes('/test/own') && identity.protocols.includes('/ipfs/ping/1.0.0'))
  assert.deepEqual(identity.addresses, server.addresses().map((address) => address.replace(`/p2p/${server.peer}`, '')))
  assert.deepEqual(await client.identify(server.peer), identity)
  assert.ok((await server.identify(server.peer)).protocols.includes('/test/own'), 'a host knows itself')
})

test('who asks for the identity of a peer that is nowhere, or gives up, is told so', async (context) => {
  const [client, server] = [await newHost(context), await newHost(context)]
  await assert.rejects(client.identify(server.peer), (err) => isErrorCode(err, 'UNAVAILABLE'))
  const reason = new Error('enough')
  await assert.rejects(client.identify(server.peer, { signal: AbortSignal.abort(reason) }), (err) => err === reason)
})
