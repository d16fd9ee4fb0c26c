import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { test, type TestContext } from 'node:test'
import { startNode, type StartOptions, type TestNode } from './harness.ts'

const MIB = 1024 * 1024

/** Cached bytes that are allowed: of the files of 4 MiB that are fetched, two do not fit. */
const MAX_BYTES: number = 8 * MIB

interface RepoStat {
  readonly byteLength: number
  readonly cache: { readonly blockCount: number, readonly byteLength: number, readonly maxBytes: number }
}

async function startPeer (context: TestContext, { flags = [], ...options }: StartOptions = {}): Promise<TestNode> {
  return await startNode(context, { ...options, flags: ['--network', 'lan', ...flags] })
}

async function connect (node: TestNode, { ready }: TestNode): Promise<void> {
  const address = ready.swarm.find((each) => each.includes('/ip4/127.0.0.1/'))
  assert.ok(address, ready.swarm.join())
  await node.ok(['connect', address])
}

async function statOf (node: TestNode): Promise<RepoStat> {
  const [stat] = await node.json<RepoStat>(['repo', 'stat'])
  assert.ok(stat)
  return stat
}

/** Waits until evictions, which nobody waits for, have brought the cache under its bound. */
async function boundedStatOf (node: TestNode): Promise<RepoStat> {
  const endMs = performance.now() + 30_000
  for (;;) {
    const stat = await statOf(node)
    if (stat.cache.byteLength <= MAX_BYTES) return stat
    assert.ok(performance.now() < endMs, `${stat.cache.byteLength} bytes are cached of at most ${MAX_BYTES}`)
    await sleep(50)
  }
}

async function read (node: TestNode, cid: string): Promise<Buffer> {
  const response = await fetch(`${node.ready.gateway}/ipfs/${cid}`)
  assert.equal(response.status, 200)
  return Buffer.from(await response.arrayBuffer())
}

async function isHere (node: TestNode, cid: string): Promise<boolean> {
  const response = await fetch(`${node.ready.gateway}/ipfs/${cid}`, { method: 'HEAD', headers: { 'cache-control': 'only-if-cached' } })
  assert.ok([200, 412].includes(response.status), String(response.status))
  return response.status === 200
}

test('what is only fetched keeps its bound over restarts and crashes; pins stay whole, and what went is fetched again', { timeout: 180_000 }, async (context) => {
  const flags = ['--cache-max-bytes', '8MiB']
  const holder = await startPeer(context)
  let node = await startPeer(context, { flags })
  await connect(node, holder)
  const files = await Promise.all(Array.from({ length: 6 }, async () => {
    const content = randomBytes(4 * MIB)
    return { content, cid: await holder.ok(['add', '-Q'], { stdin: content }) }
  }))
  const [pinned, first, ...others] = files
  assert.ok(pinned && first)

  assert.ok((await read(node, pinned.cid)).equals(pinned.content))
  assert.equal((await statOf(node)).cache.byteLength > 4 * MIB, true)
  await node.ok(['pin', 'add', pinned.cid])
  assert.deepEqual((await statOf(node)).cache, { blockCount: 0, byteLength: 0, maxBytes: MAX_BYTES })
  const added = await node.ok(['add', '-Q', '--no-pin'], { stdin: 'added here, without a pin' })

  for (const { cid, content } of [first, ...others]) {
    await node.ok(['cat', cid])
    assert.ok((await read(node, cid)).equals(content))
    const { byteLength, cache } = await boundedStatOf(node)
    assert.ok(byteLength < cache.byteLength + 4 * MIB + 64 * 1024, `${byteLength} bytes are stored, of them ${cache.byteLength} cached`)
  }
  assert.equal(await isHere(node, first.cid), false)
  assert.ok((await read(node, first.cid)).equals(first.content))
  const before = await boundedStatOf(node)
  assert.ok(before.cache.byteLength > 4 * MIB)
  await node.end()

  node = await startPeer(context, { flags, repository: node.repository })
  // The eviction that brought it under its bound may have gone on a little.
  const after = await statOf(node)
  assert.ok(after.cache.byteLength <= before.cache.byteLength && after.cache.byteLength > 4 * MIB, `${after.cache.byteLength} bytes are cached after ${before.cache.byteLength}`)
  await connect(node, holder)
  await read(node, others[0]?.cid ?? '')
  await node.end('SIGKILL')

  node = await startPeer(context, { flags, repository: node.repository })
  assert.ok((await statOf(node)).cache.byteLength > 0)
  await connect(node, holder)
  for (const { cid } of others) await read(node, cid)
  await boundedStatOf(node)
  await holder.end()
  assert.ok((await read(node, pinned.cid)).equals(pinned.content))
  assert.equal(await node.ok(['cat', added]), 'added here, without a pin')
  assert.match(await node.ok(['repo', 'verify']), / 0 damaged/)

  await node.ok(['gc'])
  const { byteLength, cache } = await statOf(node)
  assert.deepEqual(cache, { blockCount: 0, byteLength: 0, maxBytes: MAX_BYTES })
  assert.ok(byteLength < 4 * MIB + 64 * 1024)
})
