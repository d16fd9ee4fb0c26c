import { importBytes, readFile, recipeOf } from '@holdfast/dag'
import type { PeerId } from '@holdfast/network'
import type { CID } from 'multiformats/cid'
import assert from 'node:assert/strict'
import { Readable } from 'node:stream'
import { test } from 'node:test'
import type { Line } from './far-host.test.ts'
import { blocksOf, connectNodes, openTestNode, type TestNode } from './nodes.test.ts'
import { patternOf } from './pattern.test.ts'
import { until } from './raw-peer.test.ts'

const MIB = 1024 * 1024
const FILE_BYTES = 16 * MIB

/** 50 ms there and back. */
const FAR: Line = { delayMs: 25, bytesPerSecond: 40 * MIB }

/** Most that may come twice while all holders go on as they began: a part of the bytes. */
const MAX_DUPLICATE_PART = 0.02

interface Fetched {
  /** Bytes that each holder sent. */
  readonly sentBytes: readonly number[]
  readonly elapsedMs: number
}

/** Fetches a file that is held by as many peers as there are lines. */
async function fetchOver (lines: readonly Line[], { profile, walk }: { profile: string, walk: boolean }): Promise<Fetched> {
  await using opened = new AsyncDisposableStack()
  const lineByPeer = new Map<PeerId, Line>()
  const fetcher = opened.use(await openTestNode({ lineTo: (peer) => lineByPeer.get(peer) ?? FAR }))
  const content = patternOf(FILE_BYTES)
  const holders: TestNode[] = []
  let root: CID | undefined
  for (const line of lines) {
    const holder = opened.use(await openTestNode({ lineTo: () => ({ delayMs: line.delayMs }) }))
    root = (await importBytes(holder.blocks, Readable.from([content]), recipeOf({ profile }))).cid
    lineByPeer.set(holder.host.peer, line)
    holders.push(holder)
  }
  assert.ok(root !== undefined)
  await connectNodes(fetcher, ...holders)
  const start = performance.now()
  using session = fetcher.exchange.openSession(root, { walk })
  assert.ok(Buffer.concat(await Array.fromAsync(readFile(session, root))).equals(content))
  const elapsedMs = performance.now() - start
  await until(() => holders.every(({ exchange }) => exchange.stats().outstandingBytes === 0))
  return { sentBytes: holders.map(({ exchange }) => exchange.stats().sentByteLength), elapsedMs }
}

for (const profile of ['unixfs-v1-2025', 'unixfs-v0-2015'] as const) {
  for (const holderCount of [1, 2, 4]) {
    test(`${profile}: a file with ${holderCount} holders 50 ms away comes from each of them, and next to nothing twice`, async (context) => {
      for (const walk of [true, false]) {
        const { sentBytes, elapsedMs } = await fetchOver(Array.from({ length: holderCount }, () => FAR), { profile, walk })
        const sum = sentBytes.reduce((total, bytes) => total + bytes)
        context.diagnostic(`walk ${walk}: ${sentBytes.map((bytes) => (bytes / MIB).toFixed(1)).join(' + ')} MiB in ${elapsedMs.toFixed(0)} ms`)
        assert.ok(sum <= FILE_BYTES * (1 + MAX_DUPLICATE_PART), `${sentBytes} bytes were sent for ${FILE_BYTES}`)
        // Who reads no further ahead, and who wants sixteen blocks only, may have asked for all before the last holder is known to be worth it.
        if (walk && profile === 'unixfs-v0-2015') assert.ok(sentBytes.every((bytes) => bytes > FILE_BYTES / holderCount / 8), `shares: ${sentBytes}`)
      }
    })
  }
}

test('a holder that is forty times slower than another does not hold up the end, at the price of what it had in hand', async () => {
  const slow: Line = { delayMs: 25, bytesPerSecond: MIB }
  const { sentBytes: [, slowBytes = 0], sentBytes, elapsedMs } = await fetchOver([FAR, slow], { profile: 'unixfs-v0-2015', walk: true })
  const twice = sentBytes.reduce((total, bytes) => total + bytes) - FILE_BYTES
  // 4 MiB are asked of a peer before it was measured: alone they would take it four seconds.
  assert.ok(elapsedMs < 3500, `${elapsedMs} ms`)
  assert.ok(twice <= slowBytes && twice <= 3 * MIB, `${twice} bytes came twice, ${slowBytes} from the slow holder`)
})

test('blocks that are asked for before anybody is known to hold them come from one peer each, though all say HAVE', async () => {
  await using opened = new AsyncDisposableStack()
  const fetcher = opened.use(await openTestNode({ lineTo: () => FAR }))
  const holders = await Promise.all(Array.from({ length: 4 }, async () => opened.use(await openTestNode({ lineTo: () => ({ delayMs: FAR.delayMs }) }))))
  const blocks = await blocksOf(16, MIB / 4)
  for (const { blocks: store } of holders) await store.putMany(blocks)
  await connectNodes(fetcher, ...holders)
  using session = fetcher.exchange.openSession(blocks[0].cid)
  const found = await Promise.all(blocks.map(async ({ cid }) => await session.get(cid)))
  assert.ok(found.every((block, index) => block?.cid.equals(blocks[index]?.cid) === true))
  await until(() => holders.every(({ exchange }) => exchange.stats().outstandingBytes === 0))
  assert.equal(holders.reduce((sum, { exchange }) => sum + exchange.stats().sentBlockCount, 0), blocks.length)
})

test('a holder half way around the world does its part beside a near one', async (context) => {
  const { sentBytes: [, farBytes = 0], sentBytes, elapsedMs } = await fetchOver([{ delayMs: 10, bytesPerSecond: 8 * MIB }, { delayMs: 150, bytesPerSecond: 40 * MIB }], { profile: 'unixfs-v0-2015', walk: true })
  context.diagnostic(`${sentBytes.map((bytes) => (bytes / MIB).toFixed(1)).join(' + ')} MiB in ${elapsedMs.toFixed(0)} ms`)
  assert.ok(farBytes > FILE_BYTES / 8, `shares: ${sentBytes}`)
})
