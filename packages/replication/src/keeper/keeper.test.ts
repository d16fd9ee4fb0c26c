import { walkDag } from '@holdfast/dag'
import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { addContent, collect, type KeepingNode, openKeepers } from '../../test/keeping-nodes.ts'
import { until } from '../../test/nodes.ts'
import type { PinStatus } from './pin-status.ts'

const MIB = 1024 * 1024

async function three (context: TestContext): Promise<[KeepingNode, KeepingNode, KeepingNode]> {
  const [a, b, c] = await openKeepers(context, 3)
  assert.ok(a !== undefined && b !== undefined && c !== undefined)
  return [a, b, c]
}

test('a pin with three copies gets them: fetched, verified, kept through a collection, and told everywhere', async (context) => {
  const nodes = await three(context)
  const [a] = nodes
  const cid = await addContent(a, 1, 3 * MIB)
  const { id } = await a.replication.putPin({ cid, copies: 3, name: 'photos' })
  await until(() => nodes.every(({ keeper }) => keeper.status(id)?.state === 'pinned'))
  for (const node of nodes) {
    const status = node.keeper.status(id)
    assert.equal(status?.countedCount, 3)
    assert.equal(status.missing, undefined)
    assert.deepEqual(status.copies, { min: 2, max: 3 })
    for (const copy of status.holders) {
      assert.equal(copy.state, 'verified')
      assert.ok(copy.byteLength > 3 * MIB, `${copy.byteLength}`)
      assert.ok(copy.verifiedAtMs !== undefined)
    }
    assert.deepEqual([...node.pins.list()].map((pin) => `${pin.cid} ${pin.kind} ${pin.owner}`), [`${cid} recursive cluster`])
    await collect(node)
    assert.ok((await Array.fromAsync(walkDag(node.blocks, [cid]))).length === 13)
  }
})

test('the status of a pin is watched until it is well', async (context) => {
  const [a, b] = await three(context)
  const cid = await addContent(a, 2, MIB)
  const { id } = await a.replication.putPin({ cid, copies: 3 })
  await until(() => b.keeper.status(id) !== undefined)
  const seen: PinStatus[] = []
  for await (const status of b.keeper.watch(id)) {
    seen.push(status)
    if (status.state === 'pinned') break
  }
  assert.equal(seen.at(-1)?.countedCount, 3)
  const counts = seen.map(({ countedCount }) => countedCount)
  assert.deepEqual(counts, counts.toSorted((x, y) => x - y))
})

test('who adds content sends it about once, however many copies are made', async (context) => {
  const nodes = await three(context)
  const ratios: number[] = []
  // Members that get no processor for two seconds give one another up, and rightly so: a busy machine is asked again.
  while (ratios.length < 3 && !ratios.some((ratio) => ratio <= 1.5)) ratios.push(await egressOf(nodes, 3 + ratios.length))
  context.diagnostic(`the first node sent ${ratios.map((ratio) => ratio.toFixed(2)).join(', ')} times the content`)
  assert.ok(ratios.some((ratio) => ratio <= 1.5), `the first node sent ${ratios.join(', ')} times the content`)
})

/** Has content of 24 MiB pinned by all of `nodes`, and tells how often the first one sent it. */
async function egressOf (nodes: Awaited<ReturnType<typeof three>>, seed: number): Promise<number> {
  const [a] = nodes
  const byteLength = 24 * MIB
  const cid = await addContent(a, seed, byteLength)
  const before = a.exchange.stats().sentByteLength
  const { id } = await a.replication.putPin({ cid, copies: 3 })
  await until(() => nodes.every(({ keeper }) => keeper.status(id)?.state === 'pinned'))
  return (a.exchange.stats().sentByteLength - before) / byteLength
}
