import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { addContent, collect, GRACE_MS, type KeepingNode, type KeepingNodeOptions, openKeepers, openKeepingNode } from '../../test/keeping-nodes.ts'
import { cutApart, letMeet, until } from '../../test/nodes.ts'

/** Five nodes, and a pin of which the first and two others have a copy: those two, and the two without. */
async function threeOfFive (context: TestContext, { byteLength = 500_000, ...options }: KeepingNodeOptions & { byteLength?: number } = {}): Promise<{ nodes: KeepingNode[], id: string, holders: [KeepingNode, KeepingNode], others: [KeepingNode, KeepingNode] }> {
  const nodes = await openKeepers(context, 5, options)
  const [a] = nodes
  assert.ok(a !== undefined)
  const { id } = await a.replication.putPin({ cid: await addContent(a, 1, byteLength), copies: 3 })
  await until(() => nodes.every(({ keeper }) => keeper.status(id)?.state === 'pinned'))
  const counted = countedOf(a, id)
  const [b, c] = nodes.filter((node) => node !== a && counted.includes(node.identity.peerId))
  const [d, e] = nodes.filter((node) => !counted.includes(node.identity.peerId))
  assert.ok(b !== undefined && c !== undefined && d !== undefined && e !== undefined)
  return { nodes, id, holders: [b, c], others: [d, e] }
}

function countedOf ({ keeper }: KeepingNode, id: string): string[] {
  return keeper.status(id)?.holders.filter(({ isCounted }) => isCounted).map(({ peer }) => peer) ?? []
}

test('when a holder is gone for the grace period its copy is made elsewhere; when it returns its copy counts again, and nothing is dropped', async (context) => {
  const { nodes, id, holders: [b], others } = await threeOfFive(context)
  const [a] = nodes
  assert.ok(a !== undefined)
  const { folder, blocks } = b
  await b[Symbol.asyncDispose]()
  const goneAtMs = performance.now()
  const rest = nodes.filter((node) => node !== b)
  await until(() => others.some(({ pins }) => pins.count === 1))
  assert.ok(performance.now() - goneAtMs > GRACE_MS / 2, 'no copy is made for who is gone but a moment')
  await until(() => rest.every(({ keeper }) => keeper.status(id)?.state === 'pinned'))
  assert.equal(others.filter(({ pins }) => pins.count === 1).length, 1)
  assert.equal(others.reduce((sum, { keeper }) => sum + keeper.stats.repairedCount, 0), 1)

  const again = await openKeepingNode(context, { folder, blocks })
  await until(() => countedOf(a, id).length === 4 && countedOf(again, id).length === 4)
  for (const node of [...rest, again]) await collect(node)
  assert.equal([...rest, again].filter(({ pins }) => pins.count === 1).length, 4)
})

test('who sees most members vanish takes itself for the one cut off, and makes no copies; the others do', async (context) => {
  const { nodes, id, holders: [b, c], others: [d, e] } = await threeOfFive(context)
  const [a] = nodes
  assert.ok(a !== undefined)
  // On one side a and d, on the other b, c and e.
  await cutApart([a, d], [b, c, e])
  await until(() => a.keeper.isCutOff && d.keeper.isCutOff)
  await until(() => e.pins.count === 1 && e.keeper.status(id)?.state === 'pinned')
  assert.ok(!e.keeper.isCutOff)
  assert.equal(d.pins.count, 0, 'the smaller side waits')
  await until(() => a.keeper.status(id)?.missing === 'most members cannot be reached: this node waits for them')

  letMeet(nodes)
  await until(() => nodes.every((node) => !node.keeper.isCutOff && countedOf(node, id).length >= 4), 60_000)
})

for (const how of ['is gone', 'was removed'] as const) {
  test(`repairs keep to their rate when a holder ${how}`, async (context) => {
    const { nodes, holders: [b] } = await threeOfFive(context, { byteLength: 4_000_000, repairBytesPerSecond: 2_000_000 })
    await (how === 'is gone' ? b[Symbol.asyncDispose]() : nodes[0]?.replication.remove(b.identity.peerId))
    const rest = nodes.filter((node) => node !== b)
    await until(() => rest.some(({ keeper }) => keeper.stats.fetchingCount > 0))
    const startMs = performance.now()
    await until(() => rest.some(({ keeper }) => keeper.stats.repairedCount > 0))
    // 4 MB take 2 s, but for what was asked ahead at the beginning.
    assert.ok(performance.now() - startMs > 1_000, `${performance.now() - startMs} ms`)
  })
}
