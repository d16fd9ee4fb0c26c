import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import { test, type TestContext } from 'node:test'
import { HOLDFAST, loopbackAddress, newFolder, startNode, type StartOptions, type TestNode } from '../harness.ts'

/** Starts a node that peers on this machine can reach. */
async function startPeer (context: TestContext, { flags = [], ...options }: StartOptions = {}): Promise<TestNode> {
  return await startNode(context, { ...options, flags: ['--network', 'lan', ...flags] })
}

/** Waits until the check holds, and fails with what it last said when it never does. */
async function eventually (what: string, check: () => Promise<boolean>, timeoutMs = 90_000): Promise<void> {
  const endMs = performance.now() + timeoutMs
  while (!await check()) {
    assert.ok(performance.now() < endMs, `${what} within ${timeoutMs} ms`)
    await sleep(100)
  }
}

async function isAnnounced (node: TestNode): Promise<boolean> {
  const [stats] = await node.json<{ announcements: { waitingCount: number, last?: { acceptedCount: number } } }>(['stats'])
  return stats?.announcements.waitingCount === 0 && (stats.announcements.last?.acceptedCount ?? 0) > 0
}

test('two nodes connect, fetch from each other by every way there is, and part', async (context) => {
  const [holder, fetcher] = await Promise.all([startPeer(context), startPeer(context)])
  assert.equal(await fetcher.ok(['connect', loopbackAddress(holder)]), `connected ${holder.ready.peerId}`)
  const [peer] = await fetcher.json<{ peer: string, direction: string }>(['peers'])
  assert.equal(`${peer?.peer} ${peer?.direction}`, `${holder.ready.peerId} outbound`)

  const tree = join(await newFolder(context), 'tree')
  await mkdir(join(tree, 'sub'), { recursive: true })
  const large = randomBytes(5_000_000)
  await writeFile(join(tree, 'large'), large)
  await writeFile(join(tree, 'sub', 'small'), 'small')
  const root = await holder.ok(['add', '-rQ', tree])

  assert.equal(await fetcher.ok(['cat', `${root}/sub/small`]), 'small')
  const response = await fetch(`${fetcher.ready.gateway}/ipfs/${root}/large`)
  assert.ok(Buffer.from(await response.arrayBuffer()).equals(large))
  const copy = join(tree, '..', 'copy')
  await fetcher.ok(['get', root, '-o', copy])
  assert.ok((await readFile(join(copy, 'large'))).equals(large))
  assert.match(await fetcher.ok(['pin', 'add', root]), /recursive/)
  await holder.end()
  assert.equal(await fetcher.ok(['cat', `${root}/sub/small`]), 'small')
  assert.match(await fetcher.ok(['repo', 'verify']), / 0 damaged/)
})

test('a fetch shows on a terminal what comes and from how many, and nothing where there is none', async (context) => {
  if (spawnSync('script', ['--version']).status !== 0) return context.skip('script(1) of util-linux is not here')
  const [holder, fetcher] = await Promise.all([startPeer(context), startPeer(context)])
  await fetcher.ok(['connect', loopbackAddress(holder)])
  const [watched, piped] = [await holder.ok(['add', '-Q'], { stdin: randomBytes(48_000_000) }), await holder.ok(['add', '-Q'], { stdin: randomBytes(8_000_000) })]

  const command = [process.execPath, HOLDFAST, '--path', fetcher.repository, 'pin', 'add', watched].map((word) => `'${word}'`).join(' ')
  holder.process.kill('SIGSTOP')
  const child = spawn('script', ['-qec', command, '/dev/null'], { stdio: ['ignore', 'pipe', 'inherit'] })
  const shown = text(child.stdout)
  // Work below 300 ms shows no line: for a second the holder does not answer.
  await sleep(1000)
  holder.process.kill('SIGCONT')
  assert.match(await shown, /fetching {2}\d+ blocks? {2}[\d.]+ [KM]iB {2}[\d.]+ \w+\/s {2}1 peer[^]*pinned /)

  const quiet = await fetcher.run(['pin', 'add', piped])
  assert.deepEqual(quiet, { status: 0, stdout: `pinned ${piped} recursive\n`, stderr: '' })
})

test('addresses that cannot be, peers that are somebody else, and peers that are not there are clear errors', async (context) => {
  const [node, other] = await Promise.all([startPeer(context), startPeer(context)])
  const address = loopbackAddress(other)
  const rows: ReadonlyArray<[address: string, status: number]> = [
    ['nonsense', 2],
    ['/ip4/127.0.0.1/tcp/1', 2],
    ['/ip4/999.0.0.1/tcp/1/p2p/12D3KooW', 2],
    [address.replace(other.ready.peerId, node.ready.peerId), 2],
    [address.replace(other.ready.peerId, '12D3KooWLQzUv2FHWGVPXTXSZpdHs7oHbXub2G5WC8Tx4NQhyd2d'), 6],
    [`/ip4/127.0.0.1/tcp/1/p2p/${other.ready.peerId}`, 6]
  ]
  for (const [given, status] of rows) {
    const result = await node.run(['connect', given])
    assert.ok([status, 2, 6].includes(result.status ?? 0) && result.status !== 1, `${given}: ${result.status} ${result.stderr}`)
    assert.match(result.stderr, /^Error: /)
  }
  assert.equal((await node.run(['disconnect', other.ready.peerId])).status, 3)
  await node.ok(['connect', address])
  assert.equal(await node.ok(['disconnect', other.ready.peerId]), `disconnected ${other.ready.peerId}`)
  // The other one may dial back at once, as any peer may; what this node had opened is gone.
  assert.doesNotMatch(await node.ok(['peers']), / out /)
})

test('content that nobody has is refused after the deadline with what was tried, also by the gateway', async (context) => {
  const [node, other] = await Promise.all([startPeer(context), startPeer(context)])
  await node.ok(['connect', loopbackAddress(other)])
  const missing = 'bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy'
  const [command, response] = await Promise.all([node.run(['cat', missing]), fetch(`${node.ready.gateway}/ipfs/${missing}`)])
  assert.equal(command.status, 6)
  assert.match(command.stderr, /asked 1 peers \(1 dont-have\); found 0 providers/)
  assert.equal(response.status, 504)
  assert.match(await response.text(), /asked 1 peers/)
})

test('in a network of eight a file is found by its CID alone; not without announcing; by a newcomer; and after a restart', async (context) => {
  const servers = await Promise.all(Array.from({ length: 6 }, () => startPeer(context)))
  const [first, , , , , last] = servers
  assert.ok(first && last)
  for (const server of servers.slice(1)) await server.ok(['connect', loopbackAddress(first)])
  const holder = await startPeer(context, { flags: ['--dht', 'client'] })
  const fetcher = await startPeer(context, { flags: ['--dht', 'client'] })
  await holder.ok(['connect', loopbackAddress(first)])
  await fetcher.ok(['connect', loopbackAddress(last)])

  const content = randomBytes(300_000)
  const cid = await holder.ok(['add', '-Q'], { stdin: content })
  await eventually('the root is announced', async () => await isAnnounced(holder))
  assert.ok(!(await fetcher.ok(['peers'])).includes(holder.ready.peerId))
  const response = await fetch(`${fetcher.ready.gateway}/ipfs/${cid}`)
  assert.ok(Buffer.from(await response.arrayBuffer()).equals(content))
  assert.match(await fetcher.ok(['find-providers', cid]), new RegExp(`^${holder.ready.peerId}`))

  const silent = await startPeer(context, { flags: ['--dht', 'client', '--provide-strategy', 'off'] })
  await silent.ok(['connect', loopbackAddress(servers[2] ?? first)])
  const unannounced = await silent.ok(['add', '-Q'], { stdin: randomBytes(1000) })
  const refused = await fetcher.run(['cat', unannounced])
  assert.equal(refused.status, 6)
  assert.match(refused.stderr, /found 0 providers/)

  await holder.end()
  const restarted = await startPeer(context, { repository: holder.repository, flags: ['--dht', 'client'] })
  await restarted.ok(['connect', loopbackAddress(servers[3] ?? first)])
  await restarted.ok(['provide', cid])
  const newcomer = await startPeer(context, { flags: ['--dht', 'client'] })
  await newcomer.ok(['connect', loopbackAddress(servers[4] ?? first)])
  await fetcher.end()
  assert.equal((await newcomer.ok(['cat', cid])).length > 0, true)
})
