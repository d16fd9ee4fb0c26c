import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { cutApart, letMeet, openCluster, openNode, type TestNode, until, untilSame } from '../../test/nodes.ts'
import { cidOf } from '../../test/replica.ts'

const forget = { forgetAfterMs: 0, forgetIntervalMs: 50 }

async function deleted ({ replication }: TestNode, count: number): Promise<void> {
  const pins = await Promise.all(Array.from({ length: count }, (_, index) => replication.putPin({ cid: cidOf(index), copies: 1 })))
  await Promise.all(pins.map(async ({ id }) => { await replication.deletePin(id) }))
}

function counts (nodes: readonly TestNode[]): number[][] {
  return nodes.map(({ replication }) => replication.stats()).map(({ pinCount, forgottenCount }) => [pinCount, forgottenCount])
}

async function untilForgotten (nodes: readonly TestNode[], pinCount: number, forgottenCount: number): Promise<void> {
  await until(() => counts(nodes).every((each) => each[0] === pinCount && each[1] === forgottenCount), 20_000)
}

async function join (context: TestContext, admin: TestNode): Promise<TestNode> {
  const node = await openNode(context, { forget })
  await node.replication.join((await admin.replication.invite()).invite)
  return node
}

test('deleted pins are forgotten when all members know that they are deleted, and stay so after a restart and on a new member', async (context) => {
  const nodes = await openCluster(context, 3, { forget })
  const [a, b, c] = nodes
  assert.ok(a !== undefined && b !== undefined && c !== undefined)
  const kept = await b.replication.putPin({ cid: cidOf(9), copies: 1 })
  await untilSame(nodes, 1)
  await cutApart([a, b], [c])
  await deleted(b, 3)
  await until(() => counts([a]).join() === '4,0')
  // Many looks are taken in that time. The member that is away does not know of the deletes.
  const { roundCount } = a.replication.stats()
  await until(() => a.replication.stats().roundCount >= roundCount + 6, 30_000)
  assert.deepEqual(counts([a, b]), [[4, 0], [4, 0]])
  letMeet(nodes)
  await untilForgotten(nodes, 1, 3)
  await untilSame(nodes, 1)

  const newcomer = await join(context, a)
  await untilForgotten([newcomer], 1, 3)
  assert.equal(newcomer.replication.pin(kept.id)?.id, kept.id)
  await b[Symbol.asyncDispose]()
  const again = await openNode(context, { folder: b.folder, forget })
  assert.deepEqual(counts([again]), [[1, 3]])
  await untilSame([a, again, c, newcomer], 1)
})

test('a member that was away while pins were deleted and forgotten brings none of them back', async (context) => {
  const nodes = await openCluster(context, 3, { forget })
  const [a, b, away] = nodes
  assert.ok(a !== undefined && b !== undefined && away !== undefined)
  const { id } = await b.replication.putPin({ cid: cidOf(1), copies: 1 })
  await untilSame(nodes, 1)
  await away[Symbol.asyncDispose]()
  await b.replication.deletePin(id)
  await until(() => a.replication.pin(id) === undefined)
  await a.replication.remove(away.identity.peerId)
  await untilForgotten([a, b], 0, 1)

  // It comes back with its old journal, in which the pin was never deleted, and is let in again, beside a new one that knows nothing.
  const again = await openNode(context, { folder: away.folder, forget })
  assert.equal(again.replication.pin(id)?.id, id)
  await until(() => again.replication.cluster?.role === 'removed')
  await again.replication.join((await a.replication.invite()).invite)
  const newcomer = await join(context, a)
  const all = [a, b, again, newcomer]
  await untilForgotten(all, 0, 1)
  await untilSame(all)
  for (const { replication } of all) assert.equal(replication.pin(id), undefined)
})
