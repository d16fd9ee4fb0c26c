import assert from 'node:assert/strict'
import { test } from 'node:test'
import { blocksOf } from '../nodes.test.ts'
import { wantOf } from '../raw-peer.test.ts'
import { MAX_LIVE_WANTS } from './limits.ts'
import { type LiveWant, WantLedger } from './want-ledger.ts'

function openLedger (): { ledger: WantLedger, removed: LiveWant[] } {
  const removed: LiveWant[] = []
  return { ledger: new WantLedger((want) => { removed.push(want) }), removed }
}

test('a want is remembered once; asking for the block makes more of one for HAVE, and never less', async () => {
  const { ledger } = openLedger()
  const [{ cid }] = await blocksOf(1, 100)
  const first = ledger.add(wantOf(cid, { type: 'have', sendDontHave: true }))
  assert.equal(first?.type, 'have')
  assert.equal(ledger.add(wantOf(cid, { type: 'block' })), first)
  assert.deepEqual([first?.type, first?.sendDontHave, ledger.count], ['block', false, 1])
  ledger.add(wantOf(cid, { type: 'have' }))
  assert.equal(first?.type, 'block')
})

test('a want that is being served is not taken in again, until it is gone', async () => {
  const { ledger } = openLedger()
  const [{ cid }] = await blocksOf(1, 100)
  const want = ledger.add(wantOf(cid))
  assert.ok(want)
  want.isQueued = true
  assert.equal(ledger.add(wantOf(cid)), undefined)
  ledger.remove(want)
  assert.ok(ledger.add(wantOf(cid)))
})

test('when it is full the oldest want that waits makes room; with none that waits, the new one is refused', async () => {
  const { ledger, removed } = openLedger()
  const blocks = await blocksOf(MAX_LIVE_WANTS + 2, 8)
  const wants = blocks.slice(0, MAX_LIVE_WANTS).map(({ cid }) => ledger.add(wantOf(cid)))
  const [oldest, second] = wants
  assert.ok(oldest && second)
  oldest.isQueued = true
  assert.ok(ledger.add(wantOf(blocks[MAX_LIVE_WANTS]?.cid ?? assert.fail())))
  assert.deepEqual(removed, [second])
  assert.equal(ledger.count, MAX_LIVE_WANTS)

  for (const { cid } of blocks) {
    const want = ledger.add(wantOf(cid))
    if (want !== undefined) want.isQueued = true
  }
  const [another] = await blocksOf(1, 9)
  assert.equal(ledger.add(wantOf(another.cid)), undefined)
  assert.equal(ledger.count, MAX_LIVE_WANTS)
})

test('a cancel and a full want-list remove what they mean, and tell of it', async () => {
  const { ledger, removed } = openLedger()
  const blocks = await blocksOf(3, 100)
  for (const { cid } of blocks) ledger.add(wantOf(cid))
  ledger.cancel(blocks[0].cid)
  ledger.cancel(blocks[0].cid)
  assert.deepEqual(removed.map(({ cid }) => cid), [blocks[0].cid])
  ledger.keepOnly([blocks[2].cid])
  assert.deepEqual(removed.map(({ cid }) => cid), [blocks[0].cid, blocks[1].cid])
  assert.equal(ledger.count, 1)
})

test('a want that was replaced by another of its CID cannot remove that one', async () => {
  const { ledger } = openLedger()
  const [{ cid }] = await blocksOf(1, 100)
  const old = ledger.add(wantOf(cid))
  assert.ok(old)
  ledger.cancel(cid)
  ledger.add(wantOf(cid))
  ledger.remove(old)
  assert.equal(ledger.count, 1)
})
