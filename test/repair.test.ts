import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { newFolder, startNode, type TestNode } from './harness.ts'
import { rot } from './packs.ts'

/** Bytes of a chunk: each file of these tests is one leaf. */
const LEAF_BYTES = 100_000

/** How long a fetch from a peer that is connected may take, in milliseconds. */
const FETCH_MS = 20_000

interface Pair {
  readonly node: TestNode
  readonly peer: TestNode
  /** What both have, and a copy of it is damaged in `node`. */
  readonly content: Buffer
  readonly cid: string
}

/** Two nodes with the same file, one leaf of which is damaged in the first. */
async function startPair (context: TestContext): Promise<Pair> {
  const [node, peer] = [await startNode(context, { flags: ['--network', 'lan'] }), await startNode(context, { flags: ['--network', 'lan'] })]
  const content = randomBytes(LEAF_BYTES)
  const cid = await node.ok(['add', '-Q'], { stdin: content })
  assert.equal(await peer.ok(['add', '-Q'], { stdin: content }), cid)
  await node.ok(['connect', peer.ready.swarm.find((address) => address.includes('/ip4/127.0.0.1/')) ?? ''])
  await rot(node.repository, content)
  return { node, peer, content, cid }
}

async function quarantinedIn (node: TestNode): Promise<number> {
  const [stat] = await node.json<{ storage: { quarantinedCount: number } }>(['repo', 'stat'])
  return stat?.storage.quarantinedCount ?? -1
}

async function bytesAt (node: TestNode, cid: string): Promise<Buffer> {
  const response = await fetch(`${node.ready.gateway}/ipfs/${cid}`, { signal: AbortSignal.timeout(FETCH_MS) })
  return Buffer.from(await response.arrayBuffer())
}

test('a block that rotted is fetched from a peer when the gateway wants it, reported once, and whole from then on', async (context) => {
  const { node, peer, content, cid } = await startPair(context)
  assert.deepEqual(await bytesAt(node, cid), content)
  assert.equal(node.log().match(/Block is damaged and was quarantined/g)?.length, 1, node.log())
  assert.equal(await quarantinedIn(node), 0)

  await peer.end()
  await node.end()
  const restarted = await startNode(context, { repository: node.repository })
  assert.deepEqual(await bytesAt(restarted, cid), content)
  assert.match(await restarted.ok(['repo', 'verify']), / 0 damaged/)
  const [stat] = await restarted.json<{ cache: { blockCount: number } }>(['repo', 'stat'])
  assert.equal(stat?.cache.blockCount, 0, 'what a pin keeps is no cache')
})

test('without a peer no byte of a block that rotted is served, and adding the content again repairs it', async (context) => {
  const node = await startNode(context)
  const path = join(await newFolder(context), 'file')
  await writeFile(path, randomBytes(LEAF_BYTES))
  const cid = await node.ok(['add', '-Q', path])
  const content = Buffer.from(await (await fetch(`${node.ready.gateway}/ipfs/${cid}?format=raw`)).arrayBuffer())
  await rot(node.repository, content)

  for (let tries = 0; tries < 2; tries++) {
    const { status, stdout } = await node.run(['cat', cid])
    assert.ok(status === 3 || status === 4, `status ${status}`)
    assert.equal(stdout, '')
  }
  assert.equal((await fetch(`${node.ready.gateway}/ipfs/${cid}?format=raw`)).ok, false)
  assert.equal(await quarantinedIn(node), 1)
  assert.equal((await node.run(['repo', 'verify'])).status, 4)
  assert.equal((await node.run(['repo', 'repair', '--from-peers'])).status, 6)

  assert.equal(await node.ok(['add', '-Q', path]), cid)
  assert.equal(await quarantinedIn(node), 0)
  assert.match(await node.ok(['repo', 'verify']), / 0 damaged/)
  assert.equal((await node.run(['cat', cid])).status, 0)
})

test('pin add fetches again what rotted below it', async (context) => {
  const { node, content, cid } = await startPair(context)
  await node.ok(['pin', 'rm', cid])
  assert.equal((await node.run(['repo', 'verify'])).status, 4)
  await node.ok(['pin', 'add', cid])
  assert.deepEqual(await bytesAt(node, cid), content)
  assert.match(await node.ok(['repo', 'verify']), / 0 damaged/)
})

test('repair finds what rotted, fetches it from peers, and says what nobody has', async (context) => {
  const { node, content, cid } = await startPair(context)
  const alone = randomBytes(LEAF_BYTES)
  const lost = await node.ok(['add', '-Q'], { stdin: alone })
  await rot(node.repository, alone)

  // A fetch that nobody answers takes its time: as long as the node tries.
  const { status, stdout, stderr } = await node.run(['repo', 'repair', '--from-peers'])
  assert.equal(status, 4, stderr)
  assert.match(stdout, /Repaired 1 of 2 damaged blocks/)
  assert.equal(stdout.match(/^repaired /gm)?.length, 1)
  assert.equal(stdout.match(/^damaged \S+: \S/gm)?.length, 1)
  assert.deepEqual(await bytesAt(node, cid), content)
  assert.equal(await quarantinedIn(node), 1, 'what is left of the other is kept')
  assert.ok((await node.ok(['pin', 'ls', '-q'])).includes(lost))
})

test('a scrub finds what rotted, goes on after a restart, and can be paused', async (context) => {
  const node = await startNode(context)
  const content = randomBytes(LEAF_BYTES)
  await node.ok(['add', '-Q'], { stdin: content })
  await rot(node.repository, content)
  // Slow enough to be seen at work: the leaf alone would take it 100 s.
  assert.match(await node.ok(['repo', 'scrub', 'start', '--rate', '1000']), /is running/)
  assert.match(await node.ok(['repo', 'scrub', 'pause']), /is paused/)
  await node.ok(['repo', 'scrub', 'start', '--rate', '1000'])
  await node.end()

  const restarted = await startNode(context, { repository: node.repository })
  assert.match(await restarted.ok(['repo', 'scrub']), /is running/)
  await restarted.ok(['repo', 'scrub', 'start', '--rate', '100MB'])
  const deadline = Date.now() + FETCH_MS
  while (/is running/.test(await restarted.ok(['repo', 'scrub']))) assert.ok(Date.now() < deadline, 'the scrub does not end')
  assert.match(await restarted.ok(['repo', 'scrub', 'status']), /1 blocks damaged/)
  assert.equal(await quarantinedIn(restarted), 1)
})
