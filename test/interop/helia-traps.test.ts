/** What goes wrong between Helia and others, and has to go right with us. Numbers are those of docs/dependencies.md, "Traps". */
import { Block } from '@holdfast/core'
import { importBytes, recipeOf } from '@holdfast/dag'
import type { CID } from 'multiformats/cid'
import assert from 'node:assert/strict'
import { Readable } from 'node:stream'
import { test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { type HeliaPeer, startHelia } from './helia.ts'
import { startOurs } from './ours.ts'
import { patternOf } from './pattern.ts'

const FILE_BYTES = 64 * 1024 * 1024

/** How long Helia remembers what it sent, in milliseconds, and a little more. */
const RESEND_WINDOW_MS = 5_600

async function cidOf (byteLength: number): Promise<CID> {
  return (await Block.of(patternOf(byteLength))).cid
}

async function putBlocks (helia: HeliaPeer, ...byteLengths: number[]): Promise<void> {
  await helia.ask({ do: 'put-blocks', byteLengths })
}

/** Waits until something is so; the test's own timeout ends the wait. */
async function until (isDone: () => boolean): Promise<void> {
  while (!isDone()) await delay(10)
}

test('what we took back Helia does not send, and what we still want it does', { timeout: 20_000 }, async (context) => {
  const [ours, helia] = await Promise.all([startOurs(context), startHelia(context)])
  await ours.host.connect(helia.address)
  const [dropped, kept] = [await cidOf(50_000), await cidOf(60_000)]
  using session = ours.exchange.openSession(kept)
  const leaving = new AbortController()
  const droppedBlock = session.get(dropped, { signal: leaving.signal })
  const keptBlock = session.get(kept)
  // Helia said DONT_HAVE to both, so it knows of both.
  await until(() => session.report.peersAsked.some(({ answer }) => answer === 'dont-have'))
  leaving.abort(new Error('changed my mind'))
  await assert.rejects(droppedBlock, /changed my mind/)
  await delay(100)
  await putBlocks(helia, 50_000, 60_000)
  assert.equal((await keptBlock)?.bytes.byteLength, 60_000)
  const { receivedBlockCount, unrequestedBlockCount, hashedBlockCount } = ours.exchange.stats()
  assert.deepEqual({ receivedBlockCount, unrequestedBlockCount, hashedBlockCount }, { receivedBlockCount: 1, unrequestedBlockCount: 0, hashedBlockCount: 1 })
})

test('Helia asks for all of a file at once and never takes a want back; when it hangs up, we stop sending', { timeout: 20_000 }, async (context) => {
  const [ours, helia] = await Promise.all([startOurs(context), startHelia(context)])
  const { cid } = await importBytes(ours.blocks, Readable.from([patternOf(FILE_BYTES)]), recipeOf({ profile: 'unixfs-v1-2025' }))
  await helia.ask({ do: 'connect', address: ours.address })
  await helia.ask({ do: 'cat-some', cid: cid.toString(), byteLength: FILE_BYTES / 16 })
  await until(() => ours.exchange.stats().peerCount === 0)
  await until(() => ours.exchange.stats().outstandingBytes === 0)
  const { sentByteLength, waitingCount } = ours.exchange.stats()
  assert.ok(sentByteLength < FILE_BYTES, `${sentByteLength} bytes were sent`)
  assert.equal(waitingCount, 0, 'nothing of its want-list is left')
})

test('4: a block that Helia announces before it stores it still comes', { timeout: 20_000 }, async (context) => {
  const [ours, helia] = await Promise.all([startOurs(context), startHelia(context)])
  await ours.host.connect(helia.address)
  const cid = await cidOf(70_000)
  using session = ours.exchange.openSession(cid)
  const block = session.get(cid)
  await until(() => session.report.peersAsked.some(({ answer }) => answer === 'dont-have'))
  await putBlocks(helia, 70_000)
  assert.equal((await block)?.bytes.byteLength, 70_000)
})

test('5: a block that was fetched, deleted and is fetched again comes again', { timeout: 30_000 }, async (context) => {
  const [ours, helia] = await Promise.all([startOurs(context), startHelia(context)])
  await putBlocks(helia, 80_000)
  const cid = await cidOf(80_000)
  await ours.host.connect(helia.address)
  const fetch = async (): Promise<void> => {
    using session = ours.exchange.openSession(cid)
    assert.equal((await session.get(cid))?.bytes.byteLength, 80_000)
  }
  await fetch()
  await ours.blocks.delete(cid)
  await delay(RESEND_WINDOW_MS)
  await fetch()
  assert.equal(ours.exchange.stats().receivedBlockCount, 2)
})

test('21: of wants in so many messages that Helia drops some, each is answered', { timeout: 20_000 }, async (context) => {
  const [ours, helia] = await Promise.all([startOurs(context), startHelia(context)])
  const byteLengths = Array.from({ length: 200 }, (_, index) => 20_000 + index)
  await putBlocks(helia, ...byteLengths)
  const cids = await Promise.all(byteLengths.map(cidOf))
  await ours.host.connect(helia.address)
  const sessions = cids.map((cid) => ours.exchange.openSession(cid))
  const fetched: Array<Promise<Block | undefined>> = []
  for (const [index, cid] of cids.entries()) {
    fetched.push(sessions[index]?.get(cid) ?? assert.fail())
    // Each want gets a message of its own: Helia queues ten and forgets to answer the others.
    await delay(1)
  }
  const lengths = (await Promise.all(fetched)).map((block) => block?.bytes.byteLength)
  for (const session of sessions) session[Symbol.dispose]()
  assert.deepEqual(lengths, byteLengths)
})
