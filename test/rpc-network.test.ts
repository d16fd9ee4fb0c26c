import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CID } from 'multiformats/cid'
import { bytesOf, linesOf, NOBODY, NOWHERE, openRpc } from './rpc-client.ts'

test('a DAG is announced block by block when all of it is asked for', async (context) => {
  const { client } = await openRpc(context)
  const entries = await Array.fromAsync(client.addAll([{ path: 'a', content: 'A' }], { wrapWithDirectory: true }))
  const root = entries.at(-1)?.cid
  assert.ok(root !== undefined)
  await assert.rejects(Array.fromAsync(client.routing.provide(root, { recursive: true })), new RegExp(`announcement of ${root}`))
  const partial = await client.dag.put([CID.parse(NOWHERE)])
  await assert.rejects(Array.fromAsync(client.routing.provide(partial, { recursive: true })), /announcement of/)
  await assert.rejects(Array.fromAsync(client.routing.provide(CID.parse(NOWHERE), { recursive: true })), /was not found/)
})

test('peers are connected, listed, asked and disconnected', async (context) => {
  const flags = ['--network', 'lan']
  const first = await openRpc(context, flags)
  const second = await openRpc(context, flags)
  const leaving = new AbortController()
  const events = await fetch(`${first.node.ready.rpc}/api/v0/events`, { method: 'POST', signal: leaving.signal })
  const loopback = (await second.client.swarm.localAddrs()).map(String).find((address) => address.startsWith('/ip4/127.0.0.1'))
  assert.ok(loopback !== undefined, 'a node listens on loopback')
  const address = `${loopback}/p2p/${second.node.ready.peerId}`
  assert.deepEqual(await first.client.swarm.connect(address as never), [`connect ${second.node.ready.peerId} success`])
  const [peer] = await first.client.swarm.peers({ direction: true })
  assert.deepEqual([peer?.peer.toString(), peer?.direction, peer?.addr.toString().includes('/p2p/')], [second.node.ready.peerId, 'outbound', false])
  await first.client.id({ peerId: (await second.client.id()).id })
  const [verbose] = (await linesOf(first.node, 'swarm/peers?verbose=true') as Array<{ Peers: Array<{ Latency: string, Identify: { ID: string, AgentVersion: string, Protocols: string[] } }> }>)[0]?.Peers ?? []
  assert.deepEqual([verbose?.Identify.ID, verbose?.Identify.AgentVersion], [second.node.ready.peerId, 'holdfast'])
  assert.ok(verbose?.Identify.Protocols.includes('/ipfs/ping/1.0.0') === true)
  assert.match(verbose?.Latency ?? '', /^(n\/a|\d+(\.\d{1,3})?m?s)$/)
  assert.deepEqual((await first.client.swarm.addrs()).map(({ id }) => id.toString()), [second.node.ready.peerId])

  const identity = await first.client.id({ peerId: (await second.client.id()).id })
  assert.deepEqual([identity.id.toString(), identity.agentVersion], [second.node.ready.peerId, 'holdfast'])
  assert.ok(identity.addresses.every((known) => known.toString().endsWith(`/p2p/${second.node.ready.peerId}`)) && identity.addresses.length > 0)
  for (const { protocols } of [identity, await first.client.id()]) assert.ok(protocols.includes('/ipfs/bitswap/1.2.0') && protocols.includes('/ipfs/ping/1.0.0'), String(protocols))

  const { cid } = await second.client.add('from afar')
  assert.equal((await bytesOf(first.client.cat(cid, { timeout: 20_000 }))).toString(), 'from afar')
  const stats = await first.client.bitswap.stat()
  assert.deepEqual([stats.blocksReceived, stats.dataReceived, stats.peers.map(String)], [1n, 9n, [second.node.ready.peerId]])
  assert.equal((await second.client.stats.bitswap()).blocksSent, 1n)
  const [bandwidth] = await Array.fromAsync(first.client.stats.bw())
  assert.ok(bandwidth !== undefined && bandwidth.totalIn > 0n && bandwidth.totalOut > 0n)

  assert.deepEqual(await first.client.swarm.disconnect(address as never), [`disconnect ${second.node.ready.peerId} success`])
  await assert.rejects(first.client.swarm.disconnect(address as never), /not connected/)
  let told = ''
  for await (const bytes of events.body ?? []) {
    told += Buffer.from(bytes).toString()
    if (told.includes('peer-disconnected')) break
  }
  leaving.abort()
  for (const type of ['peer-connected', 'peer-disconnected']) assert.match(told, new RegExp(`"type":"${type}","peer":"${second.node.ready.peerId}"`))
  assert.deepEqual(await first.client.swarm.peers(), [])
})

test('peers are pinged as often as asked, and who cannot be reached is told of with what was tried', async (context) => {
  const first = await openRpc(context, ['--network', 'lan'])
  const second = await openRpc(context, ['--network', 'lan'])
  const { id } = await second.client.id()
  const loopback = (await second.client.swarm.localAddrs()).map(String).find((address) => address.startsWith('/ip4/127.0.0.1'))
  // Nobody told the first node where the second one is: the address says it.
  const lines = await linesOf(first.node, `ping?arg=${loopback}/p2p/${id}&count=2`) as Array<{ Success: boolean, Time: number, Text: string }>
  assert.deepEqual(lines.map(({ Text }) => Text.replace(/[\d.]+ms/, 'N ms')), [`Looking up peer ${id}`, `PING ${id}.`, '', '', 'Average latency: N ms'])
  assert.ok(lines.every(({ Success }) => Success))
  assert.deepEqual(lines.map(({ Time }) => Number.isInteger(Time) && Time > 0), [false, false, true, true, false])
  const pings = await Array.fromAsync(first.client.ping(id, { count: 1 }))
  assert.deepEqual(pings.map(({ success, text }) => [success, text.split(' ')[0]]), [[true, 'PING'], [true, ''], [true, 'Average']])

  await second.node.end()
  await assert.rejects(Array.fromAsync(first.client.ping(NOBODY as never, { count: 1 })), new RegExp(NOBODY))
  await assert.rejects(Array.fromAsync(first.client.ping(id, { count: 1 })), new RegExp(id.toString()))
  await assert.rejects(Array.fromAsync(first.client.ping((await first.client.id()).id)), /can't ping self/)
  for (const [query, words] of [['arg=nobody', /not a peer id/], [`arg=${NOBODY}&count=0`, /ping count must be greater than 0/], ['', /argument "peer ID" is required/]] as const) {
    const refused = await fetch(`${first.node.ready.rpc}/api/v0/ping?${query}`, { method: 'POST' })
    assert.equal(refused.status, 400)
    assert.match(await refused.text(), words)
  }
})

test('routing without a network finds nobody and says so', async (context) => {
  const { client } = await openRpc(context)
  const { cid } = await client.add('hello world')
  assert.deepEqual(await Array.fromAsync(client.routing.findProvs(CID.parse(NOWHERE))), [])
  await assert.rejects(Array.fromAsync(client.routing.findPeer(NOBODY as never)), /routing: not found/)
  await assert.rejects(Array.fromAsync(client.routing.provide(cid)), /Nobody took the announcement/)
  await assert.rejects(Array.fromAsync(client.routing.provide(CID.parse(NOWHERE))), /is not here/)
  await assert.rejects(client.swarm.connect('/ip4/127.0.0.1/tcp/1/p2p/12D3KooWLQzUv2FHWGVPXTXSZpdHs7oHbXub2G5WC8Tx4NQhyd2d' as never), /The network is off/)
})
