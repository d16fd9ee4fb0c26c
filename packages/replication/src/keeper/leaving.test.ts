import { MemoryBlockstore } from '@holdfast/blockstore'
import { isHoldfastError } from '@holdfast/core'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { addContent, type KeepingNode, openKeepers, openKeepingNode, untilAcquainted } from '../../test/keeping-nodes.ts'
import { until } from '../../test/nodes.ts'
import type { ReleasedCopies } from './keeper.ts'

function hasReason (reason: string): (err: unknown) => boolean {
  return (err) => isHoldfastError(err) && err.details['reason'] === reason
}

/** As the daemon does it: what was kept for the cluster is the node's own from then on. */
function releasing ({ keeper }: KeepingNode): { forgetting: (forget: () => Promise<void>) => Promise<void>, released: () => ReleasedCopies | undefined } {
  let released: ReleasedCopies | undefined
  return { forgetting: async (forget) => { released = await keeper.release(forget) }, released: () => released }
}

function pinsOf ({ pins }: KeepingNode): string[] {
  return [...pins.list()].map(({ cid, owner = 'user', name = '-' }) => `${cid} ${owner} ${name}`).toSorted()
}

test('a node that is alone in its cluster joins another one when it is told to leave, and its copies become its own pins', async (context) => {
  const [[a], [x]] = await Promise.all([openKeepers(context, 1), openKeepers(context, 1)])
  assert.ok(a !== undefined && x !== undefined)
  const [mine, shared, lost] = [await addContent(a, 1), await addContent(a, 2), await addContent({ blocks: new MemoryBlockstore() }, 3)]
  await addContent(x, 2)
  const old = await a.replication.putPin({ cid: mine, copies: 2, name: 'photos' })
  await a.replication.putPin({ cid: shared, copies: 2 })
  await a.replication.putPin({ cid: lost, copies: 2 })
  const theirs = await x.replication.putPin({ cid: shared, copies: 2 })
  await until(() => a.keeper.status(old.id)?.countedCount === 1 && a.pins.count === 2 && x.pins.count === 1)

  const { invite } = await x.replication.invite()
  await assert.rejects(a.replication.join(invite), (err) => hasReason('alone')(err) && err instanceof Error && /it is alone, with 3 pins\. .*--leave/.test(err.message))
  const { forgetting, released } = releasing(a)
  await a.replication.join(invite, { leave: true, forgetting })
  assert.deepEqual(released(), { keptCount: 2, absentCount: 1 })
  await untilAcquainted([a, x])
  await until(() => a.keeper.status(theirs.id)?.countedCount === 2)
  // What both want is pinned for both: the end of one does not take the other's.
  const expected = [`${mine} user photos`, `${shared} user -`]
  assert.deepEqual(pinsOf(a), [...expected, `${shared} cluster -`].toSorted())
  assert.equal(a.keeper.status(old.id), undefined)
  await x.replication.deletePin(theirs.id)
  await until(() => a.pins.count === 2)
  assert.deepEqual(pinsOf(a), expected.toSorted())
})

test('a cluster with other members is left by the word of an admin, who tells the others; they make its copies elsewhere', async (context) => {
  const nodes = await openKeepers(context, 3)
  const [admin, leaver, third] = nodes
  assert.ok(admin !== undefined && leaver !== undefined && third !== undefined)
  const [first, second] = [await leaver.replication.putPin({ cid: await addContent(leaver, 1), copies: 2, name: 'mine' }), await admin.replication.putPin({ cid: await addContent(admin, 2), copies: 3 })]
  await until(() => nodes.every(({ keeper }) => keeper.status(first.id)?.state === 'pinned' && keeper.status(second.id)?.state === 'pinned'))
  const [stranger] = await openKeepers(context, 1)
  assert.ok(stranger)
  await assert.rejects(leaver.replication.join((await stranger.replication.invite()).invite, { leave: true }), (err) => hasReason('in-cluster')(err) && err instanceof Error && /with 2 other members, .*member leave/.test(err.message))
  assert.equal(leaver.replication.cluster?.role, 'member', 'a join that is refused leaves nothing')

  const { forgetting, released } = releasing(leaver)
  await leaver.replication.leave({ forgetting })
  assert.deepEqual(released(), { keptCount: 2, absentCount: 0 })
  assert.equal(leaver.replication.cluster, undefined)
  assert.deepEqual(pinsOf(leaver), [`${first.cid} user mine`, `${second.cid} user -`].toSorted())
  await until(() => [admin, third].every(({ replication }) => replication.members().length === 2))
  await until(() => third.keeper.status(first.id)?.countedCount === 2)

  await leaver[Symbol.asyncDispose]()
  const again = await openKeepingNode(context, { folder: leaver.folder, blocks: leaver.blocks })
  assert.equal(again.replication.cluster, undefined)
  assert.deepEqual(pinsOf(again), [`${first.cid} user mine`, `${second.cid} user -`].toSorted())
  // It may come back, and what it says then is believed although it begins anew.
  await again.replication.join((await admin.replication.invite()).invite)
  await untilAcquainted([admin, again, third])
  const back = await again.replication.putPin({ cid: first.cid, copies: 3 })
  await until(() => [admin, again, third].every(({ keeper }) => keeper.status(back.id)?.state === 'pinned'))
})

test('the last admin stays while there are others, and who reaches no admin stays; force lets both go', async (context) => {
  const [admin, member] = await openKeepers(context, 2)
  assert.ok(admin !== undefined && member !== undefined)
  await assert.rejects(admin.replication.leave(), hasReason('last-admin'))
  member.host.blocked.add(admin.identity.peerId)
  await member.host.disconnect(admin.identity.peerId)
  await assert.rejects(member.replication.leave(), hasReason('no-admin'))
  assert.equal(member.replication.cluster?.role, 'member')
  await member.replication.leave({ force: true })
  await admin.replication.leave({ force: true })
  assert.deepEqual([member.replication.cluster, admin.replication.cluster], [undefined, undefined])
  await assert.rejects(admin.replication.leave(), hasReason('no-cluster'))
})

test('two members that leave at once both get away', async (context) => {
  const [first, second] = await openKeepers(context, 2)
  assert.ok(first !== undefined && second !== undefined)
  await first.replication.setRole(second.identity.peerId, 'admin')
  await until(() => second.replication.cluster?.role === 'admin')
  await Promise.all([first.replication.leave({ force: true }), second.replication.leave({ force: true })])
  assert.deepEqual([first.replication.cluster, second.replication.cluster], [undefined, undefined])
})

test('a node that finds copies of a cluster that it is in no more makes them its own pins', async (context) => {
  const [a, b] = await openKeepers(context, 2)
  assert.ok(a !== undefined && b !== undefined)
  const { id, cid } = await a.replication.putPin({ cid: await addContent(a, 1), copies: 2 })
  await until(() => b.keeper.status(id)?.state === 'pinned')
  // As after a crash between the two: the cluster is forgotten, and the pins are still for it.
  await b.replication.leave()
  await until(() => pinsOf(b).join() === `${cid} user -`)
})
