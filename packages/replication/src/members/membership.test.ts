import { isErrorCode } from '@holdfast/core'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { cutApart, letMeet, openCluster, openNode, type TestNode, until, untilSame } from '../../test/nodes.ts'
import { INVITE_LIFETIME_MS } from '../limits.ts'
import { JOIN_PROTOCOL } from './join-protocol.ts'

function isRefused (err: unknown, reason: string): boolean {
  return isErrorCode(err, 'INVALID') && err.details['reason'] === reason
}

async function first (nodes: Promise<TestNode[]>): Promise<TestNode> {
  const [node] = await nodes
  assert.ok(node !== undefined)
  return node
}

test('the first invite creates a cluster, and whoever redeems it is a member', async (context) => {
  const [a, b] = [await openNode(context), await openNode(context, { zone: 'attic' })]
  const before = a.replication.cluster
  assert.equal(before, undefined)
  assert.deepEqual(a.replication.members(), [])
  const { invite } = await a.replication.invite({ zone: 'cellar' })
  assert.match(invite, /^holdfast-invite-1:[\w-]+$/)
  assert.equal(a.replication.cluster?.role, 'admin')
  const cluster = await b.replication.join(invite)
  assert.deepEqual(cluster, { ...a.replication.cluster, role: 'member' })
  await untilSame([a, b])
  const members = a.replication.members()
  assert.equal(members.length, 2)
  const self = members.find(({ isSelf }) => isSelf)
  assert.deepEqual([self?.peer, self?.role], [a.identity.peerId, 'admin'])
  const other = members.find(({ isSelf }) => !isSelf)
  assert.deepEqual([other?.peer, other?.role], [b.identity.peerId, 'member'])
  assert.equal(other?.zone, 'cellar', 'the admin knows where it stands')
  assert.equal(other?.capacityBytes, 1 << 30)
  assert.equal(other?.version, 'test')
})

test('an invite lets in one node, once; the same node may ask again', async (context) => {
  const [a, b, c] = [await openNode(context), await openNode(context), await openNode(context)]
  const { invite } = await a.replication.invite()
  await b.replication.join(invite)
  await assert.rejects(c.replication.join(invite), (err) => isRefused(err, 'invite-used'))
  assert.equal(c.replication.cluster, undefined)
  await assert.rejects(b.replication.join(invite), (err) => isRefused(err, 'is-member'))
})

test('of two nodes that redeem an invite at the same time one gets in', async (context) => {
  const [a, b, c] = [await openNode(context), await openNode(context), await openNode(context)]
  const { invite } = await a.replication.invite()
  const results = await Promise.allSettled([b, c].map(async ({ replication }) => await replication.join(invite)))
  assert.deepEqual(results.map(({ status }) => status).toSorted(), ['fulfilled', 'rejected'])
})

test('the use of an invite outlives a restart of the admin', async (context) => {
  const [a, b, c] = [await openNode(context), await openNode(context), await openNode(context)]
  const used = await a.replication.invite()
  const open = await a.replication.invite()
  await b.replication.join(used.invite)
  await a[Symbol.asyncDispose]()
  const again = await openNode(context, { folder: a.folder })
  for (const { host } of [b, c]) await host.addKnownAddresses(again.identity.peerId, again.host.addresses())
  await assert.rejects(c.replication.join(used.invite), (err) => isRefused(err, 'invite-used'))
  await c.replication.join(open.invite)
})

test('an invite expires after a day', async (context) => {
  let nowMs = Date.now()
  const [a, b] = [await openNode(context, { now: () => nowMs }), await openNode(context)]
  const { invite, expiresMs } = await a.replication.invite()
  assert.equal(expiresMs, Math.floor(nowMs) + INVITE_LIFETIME_MS)
  nowMs += INVITE_LIFETIME_MS + 1
  await assert.rejects(b.replication.join(invite), (err) => isRefused(err, 'invite-expired'))
})

test('an invite of another cluster, of this node, or to nobody is refused with what to do', async (context) => {
  const [a, b] = [await first(openCluster(context, 1)), await first(openCluster(context, 1))]
  await assert.rejects(b.replication.join((await a.replication.invite()).invite), (err) => isRefused(err, 'alone'))
  await assert.rejects(a.replication.join((await a.replication.invite()).invite), (err) => isRefused(err, 'own-invite'))
  await assert.rejects(a.replication.createCluster(), (err) => isRefused(err, 'in-cluster'))
  const c = await openNode(context)
  const { invite } = await a.replication.invite()
  await a[Symbol.asyncDispose]()
  await assert.rejects(c.replication.join(invite), (err) => isErrorCode(err, 'UNAVAILABLE') && err.message.includes(a.identity.peerId))
})

test('text that is no invite, or was cut or changed, is INVALID', async (context) => {
  const [a, b] = [await openNode(context), await openNode(context)]
  const { invite } = await a.replication.invite()
  const flipped = invite.slice(0, 60) + (invite[60] === 'A' ? 'B' : 'A') + invite.slice(61)
  for (const text of ['', 'holdfast-invite-1:', 'holdfast-invite-2:abc', invite.slice(0, -1), invite.slice(1), flipped, `${invite}A`, 'x'.repeat(100_000), 'holdfast-invite-1:!!!']) {
    await assert.rejects(b.replication.join(text), (err) => isRefused(err, 'not-an-invite'), text.slice(0, 40))
  }
  await b.replication.join(`  ${invite}\n`)
})

test('a node that guesses secrets, or talks nonsense, gets nothing', async (context) => {
  const [a, b] = [await first(openCluster(context, 1)), await openNode(context)]
  await b.host.connect(a.host.address)
  for (const bytes of [Buffer.from([0xff, 0xff, 0xff]), Buffer.from([3, 1, 2, 3]), Buffer.alloc(5000)]) {
    const stream = await b.host.openStream(a.identity.peerId, [JOIN_PROTOCOL])
    await stream.write([bytes])
    await stream.closeWrite().catch(() => {})
    const read = await Array.fromAsync(stream.read()).catch(() => [])
    assert.deepEqual(read, [])
  }
  assert.equal(a.replication.members().length, 1)
})

test('only admins invite, remove and give roles; an admin that was made one may', async (context) => {
  const nodes = await openCluster(context, 3)
  const [a, b, c] = nodes
  assert.ok(a !== undefined && b !== undefined && c !== undefined)
  await untilSame(nodes)
  await assert.rejects(b.replication.invite(), (err) => isRefused(err, 'not-admin'))
  await assert.rejects(b.replication.remove(c.identity.peerId), (err) => isRefused(err, 'not-admin'))
  await assert.rejects(b.replication.setRole(b.identity.peerId, 'admin'), (err) => isRefused(err, 'not-admin'))
  await assert.rejects(a.replication.remove(a.identity.peerId), (err) => isRefused(err, 'last-admin'))
  await assert.rejects(a.replication.remove('12D3KooWNobody'), (err) => isErrorCode(err, 'NOT_FOUND'))

  await a.replication.setRole(b.identity.peerId, 'admin')
  await until(() => b.replication.cluster?.role === 'admin')
  const d = await openNode(context)
  await d.replication.join((await b.replication.invite({ role: 'reader' })).invite)
  await untilSame([...nodes, d])
  assert.deepEqual(c.replication.members().map(({ role }) => role).toSorted(), ['admin', 'admin', 'member', 'reader'])
  // The founder leaves; the cluster goes on.
  await b.replication.remove(a.identity.peerId)
  await until(() => a.replication.cluster?.role === 'removed')
  await untilSame([b, c, d])
  assert.equal(c.replication.members().length, 3)
})

test('a member proves itself to one that never heard of it, when the admin is gone', async (context) => {
  const nodes = await openCluster(context, 2)
  const [a, b] = nodes
  assert.ok(a !== undefined && b !== undefined)
  await untilSame(nodes)
  // The admission of c reaches b only through c: the admin is gone before it could tell.
  const c = await openNode(context)
  await cutApart([a, c], [b])
  await c.replication.join((await a.replication.invite()).invite)
  await untilSame([a, c])
  await a[Symbol.asyncDispose]()
  assert.equal(b.replication.members().length, 2)
  letMeet([b, c])
  await c.host.connect(b.host.address)
  await until(() => b.replication.members().length === 3)
})
