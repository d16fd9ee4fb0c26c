import { MemoryBlockstore } from '@holdfast/blockstore'
import { Block, CODECS } from '@holdfast/core'
import { countingBlockstore, faultyBlockstore } from '@holdfast/testkit'
import { CID } from 'multiformats/cid'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { queryObjects } from 'node:v8'
import { blocksOf, openTestNode } from '../nodes.test.ts'
import { openRawPeer, until, wantOf } from '../raw-peer.test.ts'
import { MAX_PATIENT_WANTS } from './asked-peer.ts'
import { CID_V0_PREFIX, cidPrefixOf } from './cid-prefix.ts'
import { MAX_OUTSTANDING_BYTES } from './fair-reads.ts'
import { MAX_LIVE_WANTS } from './limits.ts'
import { HAVE_REPLACE_BYTES } from './server.ts'

const KIB = 1024

test('a want for HAVE is answered without reading, DONT_HAVE only when it was asked for', async () => {
  const { store, counts } = countingBlockstore(new MemoryBlockstore())
  await using node = await openTestNode({ blocks: store })
  const [held, lacked, unasked] = await blocksOf(3, 2000)
  await store.put(held)
  await using peer = await openRawPeer(node)
  await peer.send({ wants: [wantOf(unasked.cid), wantOf(held.cid, { type: 'have' }), wantOf(lacked.cid, { type: 'have', sendDontHave: true })] })
  await until(() => peer.presences.length === 2)
  assert.deepEqual(peer.presences.toSorted(), [`dont-have ${lacked.cid}`, `have ${held.cid}`])
  assert.equal(counts.get, 0)
  assert.deepEqual(peer.blocks, [])
})

test('a small block is sent where HAVE was asked', async () => {
  await using node = await openTestNode()
  const [small] = await blocksOf(1, HAVE_REPLACE_BYTES)
  const [large] = await blocksOf(1, HAVE_REPLACE_BYTES + 1)
  await node.blocks.putMany([small, large])
  await using peer = await openRawPeer(node)
  await peer.send({ wants: [wantOf(small.cid, { type: 'have' }), wantOf(large.cid, { type: 'have' })] })
  await until(() => peer.presences.length === 1 && peer.blocks.length === 1)
  assert.deepEqual(peer.presences, [`have ${large.cid}`])
  assert.deepEqual(peer.blocks[0]?.data.byteLength, HAVE_REPLACE_BYTES)
})

test('blocks carry the prefix of the CID that was asked for', async () => {
  await using node = await openTestNode()
  const block = await Block.of(Uint8Array.of(1), { codec: CODECS.dagPb, version: 0 })
  await node.blocks.put(block)
  await using peer = await openRawPeer(node)
  for (const cid of [block.cid, CID.createV1(CODECS.dagCbor, block.cid.multihash)]) {
    await peer.send({ wants: [wantOf(cid)] })
    await until(() => peer.blocks.length > 0)
    assert.deepEqual(peer.blocks[0]?.prefix, cidPrefixOf(cid))
    peer.messages.length = 0
  }
})

test('an older peer gets blocks as its protocol writes them, and no presences', async () => {
  await using node = await openTestNode()
  const [held, lacked] = await blocksOf(2, 100)
  await node.blocks.put(held)
  for (const [protocol, prefix] of [['/ipfs/bitswap/1.1.0', cidPrefixOf(held.cid)], ['/ipfs/bitswap/1.0.0', CID_V0_PREFIX]] as const) {
    await using peer = await openRawPeer(node, { protocols: [protocol] })
    await peer.send({ wants: [wantOf(lacked.cid, { sendDontHave: true }), wantOf(held.cid)] })
    await until(() => peer.blocks.length > 0)
    assert.deepEqual(peer.protocols, [protocol])
    assert.deepEqual(peer.blocks, [{ prefix, data: held.bytes }])
    assert.deepEqual(peer.presences, [])
  }
})

test('what a peer took back is not sent; a full want-list takes back all that it does not name', async () => {
  await using node = await openTestNode()
  const [kept, cancelled, replaced] = await blocksOf(3, 100)
  await using peer = await openRawPeer(node)
  await peer.send({ wants: [wantOf(cancelled.cid), wantOf(replaced.cid)] })
  await peer.send({ wants: [wantOf(cancelled.cid, { isCancel: true })] })
  await until(() => node.exchange.stats().waitingCount === 1)
  await peer.send({ wants: [wantOf(kept.cid)], isFull: true })
  await until(() => node.exchange.stats().waitingCount === 1 && peer.messages.length === 0)
  await delay(50)
  await node.blocks.putMany([kept, cancelled, replaced])
  node.exchange.announce([kept.cid, cancelled.cid, replaced.cid])
  await until(() => peer.blocks.length > 0)
  await delay(50)
  assert.deepEqual(peer.blocks.map(({ data }) => data), [kept.bytes])
})

test('a peer that closes its side of our stream at once gets all the same, over that stream', async () => {
  await using node = await openTestNode()
  const blocks = await blocksOf(20, 256 * KIB)
  await node.blocks.putMany(blocks)
  await using peer = await openRawPeer(node, { halfCloses: true })
  await peer.send({ wants: blocks.map(({ cid }) => wantOf(cid)) })
  await until(() => peer.blocks.length === 20)
  assert.equal(node.host.openedStreams.length, 1)
})

test('higher priorities of one message come first', async () => {
  await using node = await openTestNode()
  const blocks = await blocksOf(20, 200 * KIB)
  await node.blocks.putMany(blocks)
  await using peer = await openRawPeer(node)
  await peer.send({ wants: blocks.map(({ cid }, index) => wantOf(cid, { priority: index })) })
  await until(() => peer.blocks.length === 20)
  assert.deepEqual(peer.blocks[0]?.data, blocks.at(-1)?.bytes)
})

test('a block that is asked for again after it was sent is sent again', async () => {
  await using node = await openTestNode()
  const [block] = await blocksOf(1, 100)
  await node.blocks.put(block)
  await using peer = await openRawPeer(node)
  for (let count = 1; count <= 3; count++) {
    await peer.send({ wants: [wantOf(block.cid)] })
    await until(() => peer.blocks.length === count)
  }
})

test('a block that cannot be read is a DONT_HAVE, and the others are sent', async () => {
  const store = new MemoryBlockstore()
  const blocks = await blocksOf(3, 100)
  await store.putMany(blocks)
  await using node = await openTestNode({ blocks: faultyBlockstore(store, { failGetAt: 2 }) })
  await using peer = await openRawPeer(node)
  await peer.send({ wants: blocks.map(({ cid }) => wantOf(cid, { sendDontHave: true })) })
  await until(() => peer.blocks.length === 2 && peer.presences.length === 1)
})

test('1,024 blocks of 32 bytes in one want-list are all answered, in few messages', async () => {
  await using node = await openTestNode()
  const blocks = await blocksOf(MAX_LIVE_WANTS, 32)
  await node.blocks.putMany(blocks)
  await using peer = await openRawPeer(node)
  await peer.send({ wants: blocks.map(({ cid }) => wantOf(cid)) })
  await until(() => peer.blocks.length === MAX_LIVE_WANTS)
  assert.ok(peer.messages.length < 64, `${peer.messages.length} messages`)
})

test('of endless wants 1,024 are remembered, the latest ones, and all are forgotten with the connection (T2.4-b)', async () => {
  await using node = await openTestNode()
  await using peer = await openRawPeer(node)
  const blocks = await blocksOf(1000, 32)
  const { multihash: { digest } } = blocks[0].cid
  const heapBefore = await heapBytes()
  for (let round = 0; round < 100; round++) {
    await peer.send({ wants: Array.from({ length: 1000 }, (_, index) => {
      const other = Uint8Array.from(digest)
      new DataView(other.buffer).setUint32(0, round * 1000 + index)
      return wantOf(CID.createV1(CODECS.raw, { ...blocks[0].cid.multihash, digest: other, bytes: Uint8Array.from([0x12, 0x20, ...other]) }))
    }) })
  }
  await peer.send({ wants: blocks.map(({ cid }) => wantOf(cid)) })
  await until(() => node.exchange.stats().waitingCount === MAX_LIVE_WANTS)
  await node.blocks.putMany(blocks)
  node.exchange.announce(blocks.map(({ cid }) => cid))
  await until(() => peer.blocks.length === 1000)
  const grownBytes = await heapBytes() - heapBefore
  assert.ok(grownBytes < 8 * KIB * KIB, `${grownBytes} bytes`)
  await peer.host.disconnect(node.host.peer)
  await until(() => node.exchange.stats().waitingCount === 0 && node.exchange.stats().peerCount === 0)
})

test('a peer that does not read is not read for: at most 1 MiB waits for it (T2.4-f)', async () => {
  const { store, counts } = countingBlockstore(new MemoryBlockstore())
  await using node = await openTestNode({ blocks: store })
  const blocks = await blocksOf(200, 256 * KIB)
  await store.putMany(blocks)
  await using deaf = await openRawPeer(node, { deaf: true })
  await deaf.send({ wants: blocks.map(({ cid }) => wantOf(cid)) })
  await delay(500)
  const readBefore = counts.get
  await delay(300)
  assert.equal(counts.get, readBefore, 'reading has stopped')
  assert.ok(node.exchange.stats().outstandingBytes <= MAX_OUTSTANDING_BYTES, `${node.exchange.stats().outstandingBytes} bytes`)

  await using other = await openRawPeer(node)
  await other.send({ wants: [wantOf(blocks[0].cid)] })
  await until(() => other.blocks.length === 1)
})

test('a peer that wants little is served while another wants much', async () => {
  const store = new MemoryBlockstore()
  await using node = await openTestNode({ blocks: faultyBlockstore(store, { delayMs: 1 }) })
  const many = await blocksOf(800, 64 * KIB)
  const few = await blocksOf(8, 64 * KIB, 7)
  await store.putMany([...many, ...few])
  await using greedy = await openRawPeer(node)
  await using modest = await openRawPeer(node)
  await greedy.send({ wants: many.map(({ cid }) => wantOf(cid)) })
  await until(() => greedy.blocks.length > 0)
  const before = greedy.blocks.length
  await modest.send({ wants: few.map(({ cid }) => wantOf(cid)) })
  await until(() => modest.blocks.length === few.length)
  assert.ok(greedy.blocks.length - before < many.length / 2, `${greedy.blocks.length - before} blocks went before`)
})

test('500 rounds of connecting, wanting and leaving leave nothing behind (T2.4-c)', async () => {
  await using node = await openTestNode()
  const [block] = await blocksOf(1, 100)
  const round = async (): Promise<void> => {
    await using peer = await openRawPeer(node)
    await peer.send({ wants: [wantOf(block.cid, { sendDontHave: true })] })
    await until(() => peer.presences.length === 1)
  }
  for (let count = 0; count < 100; count++) await round()
  await until(() => node.exchange.stats().peerCount === 0)
  const heapBefore = await heapBytes()
  for (let count = 0; count < 400; count++) await round()
  await until(() => node.exchange.stats().peerCount === 0)
  assert.equal(node.exchange.stats().waitingCount, 0)
  const grownBytes = await heapBytes() - heapBefore
  assert.ok(grownBytes < KIB * KIB, `${grownBytes} bytes`)
})

/** What is still reachable: counting objects makes the engine collect everything, weak caches included. */
async function heapBytes (): Promise<number> {
  await delay(50)
  queryObjects(Object)
  return process.memoryUsage().heapUsed
}

test('blocks that peers wait for go out as they are stored, however many wait and whoever takes all that it may', async () => {
  await using node = await openTestNode()
  const large = await blocksOf(32, 256 * 1024, 1)
  await node.blocks.putMany(large)
  await using deaf = await openRawPeer(node, { deaf: true })
  await deaf.send({ wants: large.map(({ cid }) => wantOf(cid)) })
  await until(() => node.exchange.stats().outstandingBytes >= 1024 * 1024)

  const blocks = await blocksOf(MAX_PATIENT_WANTS, 4096)
  await using opened = new AsyncDisposableStack()
  const peers = await Promise.all(Array.from({ length: 4 }, async () => opened.use(await openRawPeer(node))))
  for (const peer of peers) await peer.send({ wants: blocks.map(({ cid }) => wantOf(cid)) })
  await until(() => node.exchange.stats().waitingCount >= peers.length * blocks.length)
  const start = performance.now()
  for (const [index, block] of blocks.entries()) {
    await node.blocks.put(block)
    node.exchange.announce([block.cid])
    // One after the other: each goes out before the next one is stored.
    if (index % 64 === 0) await until(() => peers.every((peer) => peer.blocks.length === index + 1))
  }
  await until(() => peers.every((peer) => peer.blocks.length === blocks.length))
  assert.ok(performance.now() - start < 3000, `${performance.now() - start} ms`)
  for (const peer of peers) assert.deepEqual(peer.presences, [], 'nobody was told of what is not there')
})

test('a want for HAVE that waits is answered once the block is stored', async () => {
  await using node = await openTestNode()
  const [block] = await blocksOf(1, HAVE_REPLACE_BYTES + 1)
  await using peer = await openRawPeer(node)
  await peer.send({ wants: [wantOf(block.cid, { type: 'have' })] })
  await until(() => node.exchange.stats().waitingCount === 1)
  await node.blocks.put(block)
  node.exchange.announce([block.cid])
  await until(() => peer.presences.length > 0)
  assert.deepEqual(peer.presences, [`have ${block.cid}`])
})
