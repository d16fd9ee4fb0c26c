import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { copyFile, readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { test } from 'node:test'
import { holdfast, loopbackAddress, newFolder, startNode, type TestNode } from './harness.ts'

const LAN = ['--network', 'lan']

async function eventually (what: string, check: () => Promise<boolean>, timeoutMs = 90_000): Promise<void> {
  const endMs = performance.now() + timeoutMs
  while (!await check()) {
    assert.ok(performance.now() < endMs, `${what} within ${timeoutMs} ms`)
    await sleep(100)
  }
}

async function peersOf (node: TestNode): Promise<Array<{ peer: string, latencyMs?: number }>> {
  return await node.json(['peers'])
}

test('a node finds its bootstrap peers, shows how fast they answer, and finds them again without being told', async (context) => {
  const first = await startNode(context, { flags: LAN })
  const repository = join(await newFolder(context), 'repository')
  const second = await startNode(context, { repository, flags: [...LAN, '--bootstrap', loopbackAddress(first)] })
  await eventually('a peer with its latency is there', async () => (await peersOf(second)).some(({ latencyMs }) => latencyMs !== undefined))
  await second.end()
  assert.match(await readFile(join(repository, 'peers.json'), 'utf8'), new RegExp(first.ready.peerId))

  const third = await startNode(context, { repository, flags: [...LAN, '--bootstrap', 'auto'] })
  await eventually('the remembered peer is there', async () => (await peersOf(third)).some(({ peer }) => peer === first.ready.peerId))
})

test('a node whose bootstrap peers are not there is up at once and says so once', async (context) => {
  const nobody = [1, 2].map((port) => `/ip4/127.0.0.1/tcp/${port}/p2p/12D3KooWRBhwfeP2Y4TCx1SM6s9rUoHhR5STiGwxBhgFRcw3UERE`)
  const node = await startNode(context, { flags: [...LAN, '--bootstrap', nobody.join()] })
  await eventually('the line is there', async () => node.log().includes('No bootstrap peer was reached'))
  assert.match(node.log(), /"triedCount":2/)
  const [identity] = await node.json<{ reachability: { state: string, how: string } }>(['id'])
  assert.deepEqual(identity?.reachability, { state: 'unknown', how: 'The network is lan: nobody outside is asked' })
  assert.match(await node.ok(['id']), /^Reachable {3}unknown: The network is lan/m)
})

test('a bootstrap peer that cannot be dialled keeps the node from starting, and is named', async (context) => {
  const path = join(await newFolder(context), 'repository')
  const start = ['start', '--path', path, '--gateway-port', '0', '--swarm-port', '0', ...LAN]
  for (const [list, word] of [['/ip4/127.0.0.1/tcp/4001', '/ip4/127.0.0.1/tcp/4001'], ['example.com', 'example.com']] as const) {
    const { status, stderr } = await holdfast([...start, '--bootstrap', list])
    assert.equal(status, 2, stderr)
    assert.ok(stderr.includes(word) && stderr.includes('bootstrap'), stderr)
  }
})

test('a list of the configuration is set, shown, and in force', async (context) => {
  const path = join(await newFolder(context), 'repository')
  const [one, two] = ['/dns/one.example/tcp/1/p2p/12D3KooWRBhwfeP2Y4TCx1SM6s9rUoHhR5STiGwxBhgFRcw3UERE', 'auto']
  for (const value of [`${one},${two}`, JSON.stringify([one, two])]) {
    assert.equal((await holdfast(['config', 'set', 'bootstrap', value, '--path', path])).status, 0)
    assert.equal((await holdfast(['config', 'get', 'bootstrap', '--path', path])).stdout, `${one},${two}\n`)
  }
  assert.equal((await holdfast(['config', 'set', 'bootstrap', 'none', '--path', path])).status, 0)
  assert.deepEqual(JSON.parse(await readFile(join(path, 'config.json'), 'utf8')), { bootstrap: [] })
})

test('nodes with the same swarm key meet, and one without is turned away with a word about it', async (context) => {
  const folder = await newFolder(context)
  const [ours, theirs] = [join(folder, 'ours'), join(folder, 'theirs')]
  assert.match((await holdfast(['init', '--swarm-key', 'new', '--path', ours])).stdout, /Wrote .*swarm\.key/)
  assert.equal((await holdfast(['init', '--swarm-key', join(ours, 'swarm.key'), '--path', theirs])).status, 0)
  assert.deepEqual(await readFile(join(ours, 'swarm.key')), await readFile(join(theirs, 'swarm.key')))
  if (process.platform !== 'win32') assert.equal((await stat(join(theirs, 'swarm.key'))).mode & 0o777, 0o600)
  const again = await holdfast(['init', '--swarm-key', 'new', '--path', ours])
  assert.equal(again.status, 2)
  assert.match(again.stderr, /is there already/)

  const [first, second, stranger] = await Promise.all([startNode(context, { repository: ours, flags: LAN }), startNode(context, { repository: theirs, flags: LAN }), startNode(context, { flags: LAN })])
  assert.equal(await second.ok(['connect', loopbackAddress(first)]), `connected ${first.ready.peerId}`)
  const { status, stderr } = await stranger.run(['connect', loopbackAddress(first)])
  assert.equal(status, 6)
  assert.match(stderr, /swarm key/)
})

test('a swarm key that is none keeps the node from starting, and the file is named', async (context) => {
  const path = join(await newFolder(context), 'repository')
  await holdfast(['init', '--path', path])
  await writeFile(join(path, 'swarm.key'), '/key/swarm/psk/1.0.0/\n/base16/\n1234\n')
  const { status, stderr } = await holdfast(['start', '--path', path, '--gateway-port', '0', '--swarm-port', '0', ...LAN])
  assert.equal(status, 2)
  assert.match(stderr, /swarm\.key is no swarm key: its third line has 4 digits; expected/)
  await copyFile(join(path, 'swarm.key'), join(path, 'copy'))
  assert.equal((await holdfast(['init', '--swarm-key', join(path, 'copy'), '--path', join(path, 'other')])).status, 2)
})

/** Runs a daemon in a network that has nothing but a loopback interface. */
const NO_INTERNET = ['unshare', '-rn', 'sh', '-c', 'ip link set lo up && exec "$0" "$@"']
const cannotUnshare = process.platform !== 'linux' || spawnSync('unshare', ['-rn', 'ip', 'link', 'set', 'lo', 'up']).status !== 0

test('a public node with everything on is up at once without internet, says once that nobody was reached, and stops in order', { skip: cannotUnshare && 'NOT TESTED: a network namespace cannot be made here' }, async (context) => {
  const on = ['--network', 'public', '--bootstrap', 'auto', '--mdns', 'on', '--upnp', 'on', '--relay-client', 'on', '--autonat', 'on', '--hole-punching', 'on']
  const startMs = performance.now()
  const node = await startNode(context, { under: NO_INTERNET, flags: on })
  // One dial that is waited for would take 10 s.
  assert.ok(performance.now() - startMs < 8_000)
  await eventually('the line is there', async () => node.log().includes('No bootstrap peer was reached'))
  const [identity] = await node.json<{ reachability: object }>(['id'])
  assert.deepEqual(identity?.reachability, { state: 'unknown', how: 'No peer outside of this LAN is connected' })
  assert.equal(await node.end(), 0)
  assert.equal(node.log().split('\n').filter((line) => /"level":"?(warn|error|40|50)/.test(line)).length, 1, node.log())
})

test('no test and no benchmark starts a node that would dial the world: each names its network', async () => {
  const root = join(import.meta.dirname, '..')
  const starts: string[] = []
  for (const folder of ['test', 'bench', 'apps/node/src', 'scripts']) {
    for (const name of await readdir(join(root, folder), { recursive: true })) {
      if (!/\.(ts|mjs)$/.test(name) || name.includes('node_modules')) continue
      const lines = (await readFile(join(root, folder, name), 'utf8')).split('\n')
      starts.push(...lines.filter((line) => /(holdfast\(\[|HOLDFAST, )'start'/.test(line)))
    }
  }
  assert.ok(starts.length >= 8, `${starts.length} starts`)
  assert.deepEqual(starts.filter((line) => !/'--network'|\.\.\.LAN/.test(line)), [])
})
