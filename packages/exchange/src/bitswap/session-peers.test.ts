import assert from 'node:assert/strict'
import { test } from 'node:test'
import { measured, openPeers, wantsOf } from './asked-peers.test.ts'
import type { RoomWaiter } from './room-queue.ts'
import { MAX_DONT_HAVES, SessionPeers } from './session-peers.ts'

const MIB = 1024 * 1024

const waiter: RoomWaiter = { onRoom () {} }

test('a block is asked of the holder from whom it is expected first', async () => {
  await using made = await openPeers()
  const [near, far] = made.peers
  measured(near, { rttMs: 10, bytesPerSecond: 10 * MIB })
  measured(far, { rttMs: 200, bytesPerSecond: 10 * MIB })
  const peers = new SessionPeers()
  const [want, other, ...more] = await wantsOf(6, MIB)
  assert.equal(peers.choose(want, waiter), 'nobody')
  peers.addHolder(far)
  assert.equal(peers.choose(want, waiter), far)
  peers.addHolder(near)
  assert.equal(peers.choose(want, waiter), near)
  for (const owed of [other, ...more]) if (near.hasRoom(MIB)) near.askForBlock(owed)
  assert.equal(peers.choose(want, waiter), far, 'the near one owes so much that the far one is sooner')
})

test('one that said it lacks the block, or did not send it, comes after all others', async () => {
  await using made = await openPeers()
  const [near, far] = made.peers
  measured(near, { rttMs: 10, bytesPerSecond: 10 * MIB })
  measured(far, { rttMs: 200, bytesPerSecond: 10 * MIB })
  const peers = new SessionPeers()
  const [missed, lacked] = await wantsOf(2, MIB)
  peers.addHolder(near)
  peers.addHolder(far)
  missed.missedBy.add(near.id)
  assert.equal(peers.choose(missed, waiter), far)
  lacked.lackedBy.add(near.id)
  lacked.lackedBy.add(far.id)
  assert.equal(peers.choose(lacked, waiter), 'nobody')
})

test('a holder without room is waited for, not passed over', async () => {
  await using made = await openPeers()
  const [holder] = made.peers
  const peers = new SessionPeers()
  peers.addHolder(holder)
  const [want, ...others] = await wantsOf(10, MIB)
  for (const other of others) if (holder.hasRoom(MIB)) holder.askForBlock(other)
  assert.equal(peers.choose(want, waiter), 'full')
})

test('a holder that did not send what it owed is not asked while another one is only full, but when there is none', async () => {
  await using made = await openPeers()
  const [late, honest] = made.peers
  const peers = new SessionPeers()
  for (const peer of [late, honest]) peers.addHolder(peer)
  const [want, owed, ...others] = await wantsOf(10, MIB)
  late.askForBlock(owed)
  assert.deepEqual(late.giveUp(owed), [], 'it may be far away')
  late.saidHave(owed)
  for (const gone of late.giveUp(owed)) late.end(gone)
  for (const other of others) if (honest.hasRoom(MIB)) honest.askForBlock(other)
  assert.ok(late.hasRoom(MIB))
  assert.equal(peers.choose(want, waiter), 'full')
  peers.remove(honest)
  assert.equal(peers.choose(want, waiter), late)
  peers.addHolder(honest)
  late.deliveredLate()
  assert.equal(peers.choose(want, waiter), late, 'it was slow, and no liar')
})

test('a holder is dropped after so many DONT_HAVE in a row, and a block in between counts', async () => {
  await using made = await openPeers()
  const [holder] = made.peers
  const peers = new SessionPeers()
  peers.addHolder(holder)
  for (let count = 1; count < MAX_DONT_HAVES; count++) peers.lacks(holder)
  peers.addHolder(holder)
  for (let count = 1; count < MAX_DONT_HAVES; count++) peers.lacks(holder)
  assert.ok(peers.isHolder(holder))
  peers.lacks(holder)
  assert.ok(!peers.isHolder(holder))
})

test('the report keeps the best answer of each peer', () => {
  const peers = new SessionPeers()
  for (const answer of ['silent', 'have', 'block', 'dont-have', 'silent'] as const) peers.note('one', answer)
  for (const answer of ['silent', 'dont-have'] as const) peers.note('two', answer)
  assert.deepEqual(peers.report, [{ peer: 'one', answer: 'block' }, { peer: 'two', answer: 'dont-have' }])
})
