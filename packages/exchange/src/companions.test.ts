/** Peers that fetch the same DAG at the same time from one holder. */
import { MemoryBlockstore } from '@holdfast/blockstore'
import type { Block } from '@holdfast/core'
import { importBytes, recipeOf, walkDag } from '@holdfast/dag'
import type { PeerId } from '@holdfast/network'
import assert from 'node:assert/strict'
import { Readable } from 'node:stream'
import { test } from 'node:test'
import { MAX_PATIENT_WANTS } from './bitswap/asked-peer.ts'
import { IDLE_PART, MIN_PATIENCE_MS } from './bitswap/patience.ts'
import { MAX_STRIKES } from './bitswap/receiver.ts'
import { candidateOf, rankFor } from './bitswap/rendezvous.ts'
import type { FetchProgress } from './exchange.ts'
import type { Line } from './far-host.test.ts'
import { connectNodes, openTestNode, type TestNode, treeOf } from './nodes.test.ts'
import { patternOf } from './pattern.test.ts'
import { openRawPeer, payloadOf, type RawPeerOptions, until } from './raw-peer.test.ts'

const KIB = 1024
const MIB = 1024 * KIB

interface Tree {
  readonly root: Block
  readonly blocks: readonly Block[]
}

interface Team extends AsyncDisposable {
  readonly origin: TestNode
  readonly fetchers: readonly TestNode[]
}

/** A holder of the tree, and fetchers that are connected with it and with each other. */
async function openTeam ({ blocks }: Tree, fetcherCount: number, { lineFromOrigin }: { lineFromOrigin?: Line } = {}): Promise<Team> {
  await using opening = new AsyncDisposableStack()
  const origin = opening.use(await openTestNode())
  await origin.blocks.putMany(blocks)
  const lineTo = (peer: PeerId): Line => peer === origin.host.peer && lineFromOrigin !== undefined ? lineFromOrigin : { delayMs: 0 }
  const fetchers: TestNode[] = []
  for (let index = 0; index < fetcherCount; index++) {
    const fetcher = opening.use(await openTestNode(lineFromOrigin === undefined ? {} : { lineTo }))
    await connectNodes(fetcher, origin, ...fetchers)
    fetchers.push(fetcher)
  }
  await until(() => fetchers.every(({ exchange }) => exchange.stats().peerCount === fetcherCount))
  const opened = opening.move()
  return { origin, fetchers, [Symbol.asyncDispose]: async () => { await opened.disposeAsync() } }
}

interface FetchOptions {
  readonly companions: readonly PeerId[]
  readonly signal?: AbortSignal
  readonly stallMs?: number
  readonly onProgress?: (progress: FetchProgress) => void
}

/** Fetches the whole tree into a node, and compares each block. */
async function fetchTree ({ exchange, host, blocks: store }: TestNode, { root, blocks }: Tree, { companions, ...options }: FetchOptions): Promise<void> {
  using session = exchange.openSession(root.cid, { walk: true, companions: { self: host.peer, peers: companions }, ...options })
  const found = await Array.fromAsync(walkDag(session, [root.cid]))
  assert.equal(found.length, blocks.length)
  for (const { cid, bytes } of blocks) assert.deepEqual((await store.get(cid))?.bytes, bytes)
}

function peersOf (nodes: readonly TestNode[]): PeerId[] {
  return nodes.map(({ host }) => host.peer)
}

function lengthOf ({ blocks }: Tree): number {
  return blocks.reduce((sum, { bytes }) => sum + bytes.byteLength, 0)
}

/** Bytes that the origin sent, as a part of the content. */
async function egressOf (origin: TestNode, tree: Tree): Promise<number> {
  await until(() => origin.exchange.stats().outstandingBytes === 0)
  return origin.exchange.stats().sentByteLength / lengthOf(tree)
}

/** Blocks of the tree below its root for which this peer is responsible. */
function shareOf (peer: PeerId, peers: readonly PeerId[], { blocks }: Tree): Block[] {
  return blocks.slice(1).filter(({ cid }) => rankFor(cid, peers.map(candidateOf))[0]?.id === peer)
}

for (const { fetcherCount, count, byteLength, maxEgress } of [
  { fetcherCount: 2, count: 64, byteLength: 256 * KIB, maxEgress: 1.2 },
  { fetcherCount: 2, count: 300, byteLength: 4 * KIB, maxEgress: 1.2 },
  { fetcherCount: 4, count: 64, byteLength: 256 * KIB, maxEgress: 1.3 },
  { fetcherCount: 4, count: 300, byteLength: 4 * KIB, maxEgress: 1.3 }
]) {
  test(`${fetcherCount} companions draw ${count} blocks of ${byteLength} bytes about once from their holder`, async (context) => {
    const tree = await treeOf(count, byteLength)
    await using team = await openTeam(tree, fetcherCount)
    const start = performance.now()
    await Promise.all(team.fetchers.map(async (fetcher) => { await fetchTree(fetcher, tree, { companions: peersOf(team.fetchers) }) }))
    const elapsedMs = performance.now() - start
    const egress = await egressOf(team.origin, tree)
    context.diagnostic(`${egress.toFixed(2)} times the content in ${elapsedMs.toFixed(0)} ms`)
    assert.ok(egress >= 1 && egress <= maxEgress, `${egress} times the content`)
    for (const { exchange } of team.fetchers) assert.equal(exchange.stats().openWantCount, 0)
  })
}

for (const profile of ['unixfs-v0-2015', 'unixfs-v1-2025'] as const) {
  test(`${profile}: a file with dag nodes below its root is shared, too`, async (context) => {
    const source = new MemoryBlockstore()
    const { cid } = await importBytes(source, Readable.from([patternOf(48 * MIB)]), recipeOf({ profile }))
    const blocks = await Array.fromAsync(walkDag(source, [cid]))
    const root = blocks[0]
    assert.ok(root)
    const tree = { root, blocks }
    await using team = await openTeam(tree, 2)
    await Promise.all(team.fetchers.map(async (fetcher) => { await fetchTree(fetcher, tree, { companions: peersOf(team.fetchers) }) }))
    const egress = await egressOf(team.origin, tree)
    context.diagnostic(`${egress.toFixed(2)} times the content`)
    assert.ok(egress <= 1.2, `${egress} times the content`)
  })
}

test('companions over a slow line need the time of one copy, not of one each', async (context) => {
  const tree = await treeOf(32, 256 * KIB)
  await using team = await openTeam(tree, 2, { lineFromOrigin: { delayMs: 20, bytesPerSecond: 4 * MIB } })
  const start = performance.now()
  await Promise.all(team.fetchers.map(async (fetcher) => { await fetchTree(fetcher, tree, { companions: peersOf(team.fetchers) }) }))
  const elapsedMs = performance.now() - start
  const egress = await egressOf(team.origin, tree)
  context.diagnostic(`${egress.toFixed(2)} times the content in ${elapsedMs.toFixed(0)} ms`)
  assert.ok(egress <= 1.2, `${egress} times the content`)
  assert.ok(elapsedMs < 1900, `8 MiB at 4 MiB/s would take 2 s alone: ${elapsedMs} ms`)
})

test('a companion that goes in the middle leaves its share to the other', async (context) => {
  const tree = await treeOf(64, 256 * KIB)
  await using team = await openTeam(tree, 2, { lineFromOrigin: { delayMs: 10, bytesPerSecond: 16 * MIB } })
  const [dying, staying] = team.fetchers
  assert.ok(dying && staying)
  const companions = peersOf(team.fetchers)
  const controller = new AbortController()
  const died = fetchTree(dying, tree, { companions, signal: controller.signal }).then(() => undefined, (err: unknown) => err)
  let blockCount = 0
  const start = performance.now()
  const stays = fetchTree(staying, tree, { companions, onProgress: (progress) => { ({ blockCount } = progress) } })
  await until(() => blockCount >= 16)
  const reason = new Error('power cut')
  controller.abort(reason)
  await dying.host[Symbol.asyncDispose]()
  assert.equal(await died, reason)
  await stays
  const elapsedMs = performance.now() - start
  context.diagnostic(`${elapsedMs.toFixed(0)} ms`)
  assert.ok(elapsedMs < 1000 + MIN_PATIENCE_MS, `${elapsedMs} ms`)
})

test('a companion that never sends costs a bounded time once, not per block', async (context) => {
  const tree = await treeOf(300, 4 * KIB)
  await using team = await openTeam(tree, 1)
  const [fetcher] = team.fetchers
  assert.ok(fetcher)
  await using silent = await openRawPeer(fetcher)
  const start = performance.now()
  await fetchTree(fetcher, tree, { companions: [silent.host.peer] })
  const elapsedMs = performance.now() - start
  context.diagnostic(`${elapsedMs.toFixed(0)} ms`)
  assert.ok(elapsedMs >= MIN_PATIENCE_MS && elapsedMs < MIN_PATIENCE_MS + 3000, `${elapsedMs} ms`)
  const patient = silent.wants.filter(({ type, isCancel, sendDontHave }) => type === 'block' && !isCancel && !sendDontHave)
  const share = shareOf(silent.host.peer, [silent.host.peer, fetcher.host.peer], tree)
  assert.deepEqual(patient.map(({ cid }) => cid.toString()).sort(), share.map(({ cid }) => cid.toString()).sort(), 'each block of its share was asked for once')
})

test('no more wants wait at a companion than it keeps, and those beyond are not lost', async () => {
  const tree = await treeOf(1000, 100)
  await using team = await openTeam(tree, 1)
  const [fetcher] = team.fetchers
  assert.ok(fetcher)
  await using silent = await openRawPeer(fetcher)
  assert.ok(shareOf(silent.host.peer, [silent.host.peer, fetcher.host.peer], tree).length > MAX_PATIENT_WANTS)
  const start = performance.now()
  await fetchTree(fetcher, tree, { companions: [silent.host.peer] })
  const elapsedMs = performance.now() - start
  assert.equal(silent.wants.filter(({ type, isCancel, sendDontHave }) => type === 'block' && !isCancel && !sendDontHave).length, MAX_PATIENT_WANTS)
  assert.ok(elapsedMs < MIN_PATIENCE_MS + 3000, `${elapsedMs} ms`)
})

test('a session without companions is not held up by one that waits for them', async () => {
  const tree = await treeOf(64, 4 * KIB)
  await using team = await openTeam(tree, 1)
  const [fetcher] = team.fetchers
  assert.ok(fetcher)
  await using silent = await openRawPeer(fetcher)
  const shared = fetchTree(fetcher, tree, { companions: [silent.host.peer] })
  const [awaited] = shareOf(silent.host.peer, [silent.host.peer, fetcher.host.peer], tree)
  assert.ok(awaited)
  await until(() => silent.wants.some(({ cid, sendDontHave }) => cid.equals(awaited.cid) && !sendDontHave))
  const start = performance.now()
  using session = fetcher.exchange.openSession(tree.root.cid)
  assert.deepEqual((await session.get(awaited.cid))?.bytes, awaited.bytes)
  assert.ok(performance.now() - start < MIN_PATIENCE_MS / 2, `${performance.now() - start} ms`)
  await shared
})

test('a companion that sends a little now and then is not waited for longer than a part of what the session may wait', async (context) => {
  const tree = await treeOf(300, 4 * KIB)
  const byCid = new Map(tree.blocks.map((block) => [block.cid.toString(), block]))
  await using team = await openTeam(tree, 1)
  const [fetcher] = team.fetchers
  assert.ok(fetcher)
  const waiting: Block[] = []
  await using dribbler = await openRawPeer(fetcher, {
    async onMessage ({ wants }) {
      for (const { cid, isCancel, sendDontHave } of wants) if (!isCancel && !sendDontHave) waiting.push(byCid.get(cid.toString()) ?? tree.root)
    }
  })
  using _dribble = setInterval(() => {
    const block = waiting.shift()
    if (block !== undefined) void dribbler.send({ blocks: [payloadOf(block)] }).catch(() => {})
  }, 200)
  const stallMs = 3000
  const start = performance.now()
  await fetchTree(fetcher, tree, { companions: [dribbler.host.peer], stallMs })
  const elapsedMs = performance.now() - start
  context.diagnostic(`${elapsedMs.toFixed(0)} ms`)
  assert.ok(elapsedMs >= stallMs * IDLE_PART && elapsedMs < stallMs * IDLE_PART + 2500, `${elapsedMs} ms`)
})

test('a companion that was taken for absent takes part again once it says that it has a block', async () => {
  const tree = await treeOf(3000, 100)
  const byCid = new Map(tree.blocks.map((block) => [block.cid.toString(), block]))
  await using team = await openTeam(tree, 1, { lineFromOrigin: { delayMs: 1, bytesPerSecond: 200 * KIB } })
  const [fetcher] = team.fetchers
  assert.ok(fetcher)
  let isAwake = false
  let sentCount = 0
  await using sleeper = await openRawPeer(fetcher, {
    async onMessage ({ wants }, peer) {
      const live = wants.filter(({ isCancel, sendDontHave }) => !isCancel && !sendDontHave)
      isAwake ||= live.some(({ type }) => type === 'have')
      if (!isAwake) return
      const found = live.filter(({ type }) => type === 'block').map(({ cid }) => byCid.get(cid.toString())).filter((block) => block !== undefined)
      sentCount += found.length
      const haves = live.filter(({ type }) => type === 'have').map(({ cid }) => ({ cid, type: 'have' as const }))
      const lacks = wants.filter(({ isCancel, sendDontHave }) => !isCancel && sendDontHave).map(({ cid }) => ({ cid, type: 'dont-have' as const }))
      await peer.send({ presences: [...haves, ...lacks], blocks: found.map(payloadOf) })
    }
  })
  await fetchTree(fetcher, tree, { companions: [sleeper.host.peer] })
  assert.ok(isAwake)
  assert.ok(sentCount > 100, `${sentCount} blocks came from it after all`)
})

for (const { what, connect } of [
  { what: 'is not connected', connect: undefined },
  { what: 'says that it has nothing', connect: { onMessage: async ({ wants }, peer) => { await peer.send({ presences: wants.filter(({ isCancel }) => !isCancel).map(({ cid }) => ({ cid, type: 'dont-have' })) }) } } satisfies RawPeerOptions }
]) {
  test(`a companion that ${what} costs no time`, async () => {
    const tree = await treeOf(100, 4 * KIB)
    await using team = await openTeam(tree, 1)
    const [fetcher] = team.fetchers
    assert.ok(fetcher)
    await using raw = connect === undefined ? undefined : await openRawPeer(fetcher, connect)
    const start = performance.now()
    await fetchTree(fetcher, tree, { companions: [raw?.host.peer ?? 'somewhere else'] })
    assert.ok(performance.now() - start < MIN_PATIENCE_MS, `${performance.now() - start} ms`)
  })
}

test('a companion that lies is banned, and its share comes from the holder', async () => {
  const tree = await treeOf(800, KIB)
  await using team = await openTeam(tree, 1)
  const [fetcher] = team.fetchers
  assert.ok(fetcher)
  await using liar = await openRawPeer(fetcher, {
    async onMessage ({ wants }, peer) {
      const lies = wants.filter(({ isCancel, type }) => !isCancel && type === 'block')
      if (lies.length > 0) await peer.send({ blocks: lies.map(({ cid }, index) => payloadOf({ cid, bytes: Uint8Array.of(index) } as Block)) })
    }
  })
  const start = performance.now()
  await fetchTree(fetcher, tree, { companions: [liar.host.peer] })
  assert.ok(performance.now() - start < MIN_PATIENCE_MS, `${performance.now() - start} ms`)
  assert.ok(shareOf(liar.host.peer, [liar.host.peer, fetcher.host.peer], tree).length > MAX_PATIENT_WANTS)
  assert.equal(fetcher.exchange.stats().wrongBlockCount, MAX_STRIKES, 'it was listened to until it was banned')
  assert.equal(fetcher.exchange.stats().receivedBlockCount, tree.blocks.length)
})

for (const { when, startCount, maxEgress } of [
  { when: 'while the first is busy with its own share', startCount: 8, maxEgress: 1.1 },
  // Comes twice what the first had asked for already: its window of 4 MiB.
  { when: 'after the first began to fetch its share, too', startCount: 37, maxEgress: 1.4 }
]) {
  test(`a companion that began ${when} gets what that one has from it, and both complete`, async (context) => {
    const tree = await treeOf(64, 256 * KIB)
    await using team = await openTeam(tree, 2, { lineFromOrigin: { delayMs: 10, bytesPerSecond: 4 * MIB } })
    const [early, late] = team.fetchers
    assert.ok(early && late)
    const companions = peersOf(team.fetchers)
    let blockCount = 0
    const first = fetchTree(early, tree, { companions, onProgress: (progress) => { ({ blockCount } = progress) } })
    await until(() => blockCount >= startCount)
    await Promise.all([first, fetchTree(late, tree, { companions })])
    const egress = await egressOf(team.origin, tree)
    const servedCount = early.exchange.stats().sentBlockCount
    context.diagnostic(`${egress.toFixed(2)} times the content, ${servedCount} blocks from the early one, ${late.exchange.stats().sentBlockCount} from the late one`)
    assert.ok(egress <= maxEgress, `${egress} times the content`)
    assert.ok(servedCount >= shareOf(early.host.peer, companions, tree).length, `${servedCount} blocks`)
    assert.ok(late.exchange.stats().sentBlockCount > 0, 'the late one takes part')
  })
}

test('a companion serves others and fetches at the same time', async () => {
  const tree = await treeOf(64, 64 * KIB)
  const other = await treeOf(64, 256 * KIB)
  await using team = await openTeam(tree, 3)
  const [one, two, busy] = team.fetchers
  assert.ok(one && two && busy)
  await one.blocks.putMany(other.blocks)
  const companions = peersOf([one, two])
  await Promise.all([
    ...[one, two].map(async (fetcher) => { await fetchTree(fetcher, tree, { companions }) }),
    fetchTree(busy, other, { companions: [] })
  ])
  assert.ok(await egressOf(team.origin, tree) <= 1.2)
})
