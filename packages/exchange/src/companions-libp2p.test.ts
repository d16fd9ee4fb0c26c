/** Companions over the network that they have in production. */
import { MemoryBlockstore, type Blockstore } from '@holdfast/blockstore'
import { silentLogger } from '@holdfast/core'
import { walkDag } from '@holdfast/dag'
import { type NetworkHost, NO_DISCOVERY, openHost, openIdentity } from '@holdfast/network'
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { type Exchange, openExchange } from './exchange.ts'
import { NO_ROUTING, treeOf } from './nodes.test.ts'
import { until } from './raw-peer.test.ts'

interface Member {
  readonly host: NetworkHost
  readonly blocks: Blockstore
  readonly exchange: Exchange
}

async function openMember (opened: AsyncDisposableStack): Promise<Member> {
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-'))
  opened.defer(async () => { await rm(folder, { recursive: true }) })
  const identity = await openIdentity(join(folder, 'identity.key'))
  const host = opened.use(await openHost({ identity, log: silentLogger }, { mode: 'lan', listen: ['/ip4/127.0.0.1/tcp/0'], dht: 'off', ...NO_DISCOVERY }))
  const blocks = new MemoryBlockstore()
  return { host, blocks, exchange: opened.use(await openExchange({ host, routing: NO_ROUTING, blocks, log: silentLogger })) }
}

test('three companions draw a file about once from its holder, over libp2p', async (context) => {
  await using opened = new AsyncDisposableStack()
  const { root, blocks } = await treeOf(64, 256 * 1024)
  const origin = await openMember(opened)
  await origin.blocks.putMany(blocks)
  const members: Member[] = []
  for (let index = 0; index < 3; index++) {
    const member = await openMember(opened)
    for (const { host } of [origin, ...members]) await member.host.connect(host.addresses()[0] ?? '')
    members.push(member)
  }
  await until(() => members.every(({ exchange }) => exchange.stats().peerCount === 3))
  const peers = members.map(({ host }) => host.peer)
  const start = performance.now()
  await Promise.all(members.map(async ({ host, exchange, blocks: store }) => {
    using session = exchange.openSession(root.cid, { walk: true, companions: { self: host.peer, peers } })
    assert.equal((await Array.fromAsync(walkDag(session, [root.cid]))).length, blocks.length)
    for (const { cid, bytes } of blocks) assert.deepEqual((await store.get(cid))?.bytes, bytes)
  }))
  const elapsedMs = performance.now() - start
  await until(() => origin.exchange.stats().outstandingBytes === 0)
  const egress = origin.exchange.stats().sentByteLength / blocks.reduce((sum, { bytes }) => sum + bytes.byteLength, 0)
  context.diagnostic(`${egress.toFixed(2)} times the content in ${elapsedMs.toFixed(0)} ms`)
  assert.ok(egress >= 1 && egress <= 1.3, `${egress} times the content`)
})
