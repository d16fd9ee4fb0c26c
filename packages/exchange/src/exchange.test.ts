import { MemoryBlockstore } from '@holdfast/blockstore'
import { Block, HoldfastError, isErrorCode } from '@holdfast/core'
import { importBytes, readFile, recipeOf, walkDag } from '@holdfast/dag'
import assert from 'node:assert/strict'
import { Readable } from 'node:stream'
import { test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { blocksOf, connectNodes, openTestNode, routingTo } from './nodes.test.ts'
import { patternOf } from './pattern.test.ts'
import { openRawPeer, payloadOf, until } from './raw-peer.test.ts'

const MIB = 1024 * 1024

test('a file is fetched by its CID, block by block verified and stored', async () => {
  await using holder = await openTestNode()
  await using fetcher = await openTestNode()
  const content = patternOf(20 * MIB + 1)
  const { cid } = await importBytes(holder.blocks, Readable.from([content]), recipeOf({ profile: 'unixfs-v1-2025' }))
  await connectNodes(fetcher, holder)

  using session = fetcher.exchange.openSession(cid)
  assert.ok(Buffer.concat(await Array.fromAsync(readFile(session, cid))).equals(content))
  assert.equal((await Array.fromAsync(walkDag(fetcher.blocks, [cid]))).length, 22)
  const { hashedBlockCount, duplicateBlockCount, unrequestedBlockCount, openWantCount } = fetcher.exchange.stats()
  assert.deepEqual({ hashedBlockCount, duplicateBlockCount, unrequestedBlockCount, openWantCount }, { hashedBlockCount: 22, duplicateBlockCount: 0, unrequestedBlockCount: 0, openWantCount: 0 })
  assert.equal(fetcher.host.openedStreams.length, 1, 'one stream for all wants')
  assert.equal(holder.host.openedStreams.length, 1, 'one stream for all blocks')
})

/** A store on a disk that is full. */
class FullBlockstore extends MemoryBlockstore {
  override async putMany (): Promise<void> {
    throw new HoldfastError('LIMIT', 'Blocks were not stored: the disk is full')
  }
}

test('a full store refuses a fetch, but not a reader who takes what cannot be stored', async () => {
  await using holder = await openTestNode()
  await using fetcher = await openTestNode({ blocks: new FullBlockstore() })
  const content = patternOf(12 * MIB + 1)
  const { cid } = await importBytes(holder.blocks, Readable.from([content]), recipeOf({ profile: 'unixfs-v1-2025' }))
  await connectNodes(fetcher, holder)
  {
    using session = fetcher.exchange.openSession(cid)
    await assert.rejects(session.get(cid), (err) => isErrorCode(err, 'LIMIT'))
  }
  using reader = fetcher.exchange.openSession(cid, { givesUnstored: true })
  assert.ok(Buffer.concat(await Array.fromAsync(readFile(reader, cid))).equals(content))
  using session = fetcher.exchange.openSession(cid)
  await assert.rejects(session.get(cid), (err) => isErrorCode(err, 'LIMIT'), 'what one reader was given is here for nobody else')
  assert.equal(await fetcher.blocks.has(cid), false)
})

test('a provider that is not connected is found, dialled and fetched from', async () => {
  await using holder = await openTestNode()
  await using fetcher = await openTestNode({ routing: routingTo(holder) })
  const [block] = await blocksOf(1, 1000)
  await holder.blocks.put(block)
  using session = fetcher.exchange.openSession(block.cid)
  assert.deepEqual((await session.get(block.cid))?.bytes, block.bytes)
})

test('a fetch that nobody can serve ends after the deadline and says what was tried', async () => {
  await using empty = await openTestNode()
  const gone = await openTestNode()
  await gone[Symbol.asyncDispose]()
  await using fetcher = await openTestNode({ routing: routingTo(gone) })
  await connectNodes(fetcher, empty)
  const [block] = await blocksOf(1, 1000)
  using session = fetcher.exchange.openSession(block.cid, { stallMs: 300 })
  await assert.rejects(session.get(block.cid), (err) => {
    assert.ok(isErrorCode(err, 'UNAVAILABLE'), String(err))
    const report = err.details['report'] as typeof session.report
    assert.deepEqual(report.peersAsked, [{ peer: empty.host.peer, answer: 'dont-have' }])
    assert.equal(report.providersFound, 1)
    assert.deepEqual(report.dialsFailed.map(({ peer }) => peer), [gone.host.peer])
    assert.equal(report.routing, 'done, 1 records')
    assert.ok(report.elapsedMs >= 300 && report.elapsedMs < 2000, `${report.elapsedMs} ms`)
    return true
  })
})

test('a peer that says to hold it is asked alone, and others only for what it lacks', async () => {
  await using holder = await openTestNode()
  await using other = await openTestNode()
  let searchCount = 0
  await using fetcher = await openTestNode({ routing: { async * findProviders () {
    searchCount++
    yield * []
  } } })
  await connectNodes(fetcher, holder)
  await connectNodes(fetcher, other)
  const [held, lacked] = await blocksOf(2, 1000)
  await holder.blocks.put(held)
  await other.blocks.put(lacked)
  {
    using session = fetcher.exchange.openSession(held.cid, { holders: [holder.host.peer, 'nobody'] })
    assert.deepEqual((await session.get(held.cid))?.bytes, held.bytes)
    assert.deepEqual(session.report.peersAsked, [{ peer: holder.host.peer, answer: 'block' }])
    assert.equal(searchCount, 0)
  }
  using session = fetcher.exchange.openSession(lacked.cid, { holders: [holder.host.peer] })
  assert.deepEqual((await session.get(lacked.cid))?.bytes, lacked.bytes)
  assert.equal(searchCount, 1)
})

test('a want waits until the block is announced', async () => {
  await using holder = await openTestNode()
  await using fetcher = await openTestNode()
  await connectNodes(fetcher, holder)
  const [block] = await blocksOf(1, 1000)
  using session = fetcher.exchange.openSession(block.cid)
  const fetched = session.get(block.cid)
  await delay(100)
  await holder.blocks.put(block)
  holder.exchange.announce([block.cid])
  assert.deepEqual((await fetched)?.bytes, block.bytes)
})

test('a block that someone stores here ends the wait for it', async () => {
  await using fetcher = await openTestNode()
  const [block] = await blocksOf(1, 1000)
  using session = fetcher.exchange.openSession(block.cid)
  const fetched = session.get(block.cid)
  await delay(20)
  await fetcher.blocks.put(block)
  fetcher.exchange.announce([block.cid])
  assert.deepEqual((await fetched)?.bytes, block.bytes)
})

test('wants of one turn travel in one message, and two sessions share them', async () => {
  await using holder = await openTestNode()
  await using fetcher = await openTestNode()
  const blocks = await blocksOf(50, 2000)
  await holder.blocks.putMany(blocks)
  await connectNodes(fetcher, holder)
  using one = fetcher.exchange.openSession(blocks[0].cid)
  using two = fetcher.exchange.openSession(blocks[0].cid)
  await one.get(blocks[0].cid)
  const found = await Promise.all([one, two].flatMap((session) => blocks.map(async ({ cid }) => await session.get(cid))))
  assert.ok(found.every((block, index) => block?.cid.equals(blocks[index % 50]?.cid) === true))
  assert.equal(holder.exchange.stats().sentBlockCount, 50)
})

test('an abort rejects with its reason and takes the want back from the peer', async () => {
  await using holder = await openTestNode()
  await using fetcher = await openTestNode()
  await connectNodes(fetcher, holder)
  const [block] = await blocksOf(1, 1000)
  using session = fetcher.exchange.openSession(block.cid)
  const controller = new AbortController()
  const fetched = session.get(block.cid, { signal: controller.signal })
  await until(() => holder.exchange.stats().waitingCount === 1)
  const reason = new Error('changed my mind')
  controller.abort(reason)
  await assert.rejects(fetched, (err) => err === reason)
  await until(() => holder.exchange.stats().waitingCount === 0)
  assert.equal(fetcher.exchange.stats().openWantCount, 0)
})

test('a damaged block of the own store is fetched anew', async () => {
  await using holder = await openTestNode()
  const rotten = new MemoryBlockstore()
  const [block] = await blocksOf(1, 1000)
  const { get } = rotten
  let isRotten = true
  rotten.get = async (cid, options) => isRotten ? await Block.verify(cid, new Uint8Array(5)) : await get.call(rotten, cid, options)
  await using fetcher = await openTestNode({ blocks: rotten })
  await holder.blocks.put(block)
  await connectNodes(fetcher, holder)
  using session = fetcher.exchange.openSession(block.cid)
  assert.deepEqual((await session.get(block.cid))?.bytes, block.bytes)
  isRotten = false
  assert.deepEqual((await fetcher.blocks.get(block.cid))?.bytes, block.bytes)
})

test('a DAG that will be read whole is asked for at once; otherwise what its reader asks for, and about as much ahead', async () => {
  for (const [walk, minCount, maxCount] of [[true, 8, 8], [false, 1, 5]] as const) {
    const content = patternOf(8 * 256 * 1024)
    const source = new MemoryBlockstore()
    const { cid } = await importBytes(source, Readable.from([content]), recipeOf({ profile: 'unixfs-v0-2015' }))
    await using fetcher = await openTestNode()
    // Gives the root alone: what is asked next shows how far the session looks ahead.
    await using peer = await openRawPeer(fetcher, {
      async onMessage ({ wants }, raw) {
        const root = await source.get(cid)
        if (root !== undefined && wants.some((want) => want.cid.equals(cid) && !want.isCancel)) await raw.send({ blocks: [payloadOf(root)] })
      }
    })
    await until(() => fetcher.exchange.stats().peerCount === 1)
    using session = fetcher.exchange.openSession(cid, { walk })
    const reading = Array.fromAsync(readFile(session, cid)).catch(() => {})
    await until(() => peer.wants.some((want) => !want.cid.equals(cid)))
    const wanted = new Set(peer.wants.filter((want) => !want.cid.equals(cid)).map((want) => want.cid.toString()))
    assert.ok(wanted.size >= minCount && wanted.size <= maxCount, `walk ${walk}: ${wanted.size} leaves were asked for in the second round trip`)
    session[Symbol.dispose]()
    await reading
  }
})
