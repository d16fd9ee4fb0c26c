import { MemoryBlockstore } from '@holdfast/blockstore'
import { silentLogger } from '@holdfast/core'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { blocksOf } from '../nodes.test.ts'
import { payloadOf } from '../raw-peer.test.ts'
import { openPeers } from './asked-peers.test.ts'
import { Bans } from './bans.ts'
import { BYTES_PER_SLICE } from './limits.ts'
import { Receiver } from './receiver.ts'
import { WantBook } from './want-book.ts'
import type { WantObserver } from './want.ts'

const IGNORE: WantObserver = { onHave () {}, onAskEnded () {}, onLack () {}, onArrived () {}, onStored () {}, onFailed () {} }

test('the event loop gets a turn for every MiB of a message that is hashed', async () => {
  await using made = await openPeers()
  const [peer] = made.peers
  const wants = new WantBook()
  const receiver = new Receiver({ wants, bans: new Bans(), blocks: new MemoryBlockstore(), log: silentLogger, onStored: () => {} })
  const blocks = await blocksOf(7, 512 * 1024)
  for (const { cid, bytes } of blocks) peer.askForBlock(wants.open(cid, bytes.byteLength, IGNORE))

  const turnsByHashed = new Map<number, number>()
  let isReceiving = true
  const turn = (): void => {
    const { hashedBlockCount } = receiver.stats
    turnsByHashed.set(hashedBlockCount, (turnsByHashed.get(hashedBlockCount) ?? 0) + 1)
    if (isReceiving) setImmediate(turn)
  }
  turn()
  await receiver.receive(peer, { wants: [], isFull: false, presences: [], pendingBytes: 0, skippedWantCount: 0, blocks: blocks.map(payloadOf) })
  isReceiving = false
  const stops = [...turnsByHashed.keys()].toSorted((a, b) => a - b)
  const longest = Math.max(...stops.map((count, index) => (stops[index + 1] ?? blocks.length) - count))
  assert.ok(longest * 512 * 1024 <= BYTES_PER_SLICE, `${longest} blocks of 512 KiB were hashed in one turn`)
  assert.equal(receiver.stats.receivedBlockCount, 7)
})

test('a short block that comes in place of HAVE, after it came from elsewhere, tells who holds the DAG', async () => {
  await using made = await openPeers()
  const [first, second] = made.peers
  const wants = new WantBook()
  const receiver = new Receiver({ wants, bans: new Bans(), blocks: new MemoryBlockstore(), log: silentLogger, onStored: () => {} })
  const [block] = await blocksOf(1, 100)
  const holders: string[] = []
  const stored = Promise.withResolvers<void>()
  const want = wants.open(block.cid, 100, { ...IGNORE, onHave: (_want, peer) => { holders.push(peer.id) }, onStored: () => { stored.resolve() } })
  first.askForBlock(want)
  second.askForHave(want)
  const message = { wants: [], isFull: false, presences: [], pendingBytes: 0, skippedWantCount: 0, blocks: [payloadOf(block)] }
  await receiver.receive(first, message)
  await stored.promise
  await receiver.receive(second, message)
  assert.deepEqual(holders, [second.id])
  const { receivedBlockCount, duplicateBlockCount, duplicateByteLength, wrongBlockCount } = receiver.stats
  assert.deepEqual({ receivedBlockCount, duplicateBlockCount, duplicateByteLength, wrongBlockCount }, { receivedBlockCount: 1, duplicateBlockCount: 1, duplicateByteLength: 100, wrongBlockCount: 0 })
})
