import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { test, type TestContext } from 'node:test'
import { startNode, type StartOptions, type TestNode } from './harness.ts'

/** Starts a node that peers on this machine can reach. */
async function startMember (context: TestContext, { flags = [], ...options }: StartOptions = {}): Promise<TestNode> {
  return await startNode(context, { ...options, flags: ['--network', 'lan', '--dht', 'off', '--repair-grace', '2s', ...flags] })
}

/** Waits until the check holds, and fails when it never does. */
async function eventually (what: string, check: () => Promise<boolean>, timeoutMs = 30_000): Promise<void> {
  const endMs = performance.now() + timeoutMs
  while (!await check()) {
    assert.ok(performance.now() < endMs, `${what} within ${timeoutMs} ms`)
    await sleep(100)
  }
}

interface Member {
  readonly peer: string
  readonly name?: string
  readonly role: string
  readonly zone?: string
  readonly capacityBytes?: number
  readonly isSelf: boolean
  readonly isAlive: boolean
  readonly version?: string
  readonly copyCount: number
}

async function membersOf (node: TestNode): Promise<Member[]> {
  return await node.json<Member>(['member', 'ls'])
}

/** Starts nodes, the first of which lets in all others, and waits until they know one another. */
async function startCluster (context: TestContext, flags: ReadonlyArray<readonly string[]>): Promise<TestNode[]> {
  const nodes = await Promise.all(flags.map((each) => startMember(context, { flags: each })))
  const [admin, ...others] = nodes
  assert.ok(admin)
  for (const other of others) await other.ok(['member', 'join', await admin.ok(['member', 'invite'])])
  await eventually('all members know one another', async () => {
    const lists = await Promise.all(nodes.map(membersOf))
    return lists.every((members) => members.length === nodes.length && members.every(({ isAlive, capacityBytes }) => isAlive && capacityBytes !== undefined))
  })
  return nodes
}

test('an invite lets a node in, both list each other, and a removal takes effect everywhere without a restart', async (context) => {
  const [admin, member, reader] = await startCluster(context, [
    ['--member-name', 'attic', '--zone', 'home', '--storage-max-bytes', '5GB'],
    ['--member-name', 'cellar', '--zone', 'work', '--storage-max-bytes', '7GB'],
    []
  ])
  assert.ok(admin && member && reader)
  for (const node of [admin, member]) {
    const listed = (await membersOf(node)).map(({ peer, name, role, zone, capacityBytes, isSelf, version }) => ({ peer, name, role, zone, capacityBytes, isSelf, version }))
    assert.deepEqual(listed.find(({ name }) => name === 'attic'), { peer: admin.ready.peerId, name: 'attic', role: 'admin', zone: 'home', capacityBytes: 5e9, isSelf: node === admin, version: '0.0.0' })
    assert.deepEqual(listed.find(({ name }) => name === 'cellar'), { peer: member.ready.peerId, name: 'cellar', role: 'member', zone: 'work', capacityBytes: 7e9, isSelf: node === member, version: '0.0.0' })
  }
  assert.match(await admin.ok(['member', 'ls']), new RegExp(`^${member.ready.peerId} +cellar +member +zone work +0 B of 6\\.5 GiB +0 copies +alive +0\\.0\\.0$`, 'm'))

  const refused = await member.run(['member', 'rm', reader.ready.peerId])
  assert.equal(refused.status, 2)
  assert.match(refused.stderr, /this node is no admin of "cluster"/)
  assert.equal(await admin.ok(['member', 'rm', reader.ready.peerId]), `removed ${reader.ready.peerId}`)
  await eventually('the others know of the removal', async () => (await membersOf(member)).length === 2)
  await eventually('the removed one knows', async () => (await reader.run(['member', 'ls'])).stderr.includes('was removed'))
  assert.equal((await admin.run(['member', 'rm', reader.ready.peerId])).status, 3)
  assert.equal((await admin.run(['member', 'rm', admin.ready.peerId])).status, 2)
  assert.equal(await reader.ok(['member', 'join', '-'], { stdin: `${await admin.ok(['member', 'invite', '--role', 'reader', '--zone', 'garage'])}\n` }).then((text) => text.replace(/\(.*\)/, '()')), 'joined cluster () as reader')
  await eventually('it is back, where the admin said', async () => (await membersOf(member)).some(({ peer, role, zone }) => peer === reader.ready.peerId && role === 'reader' && zone === 'garage'))
})

test('invites that cannot be used are clear errors: used, expired, garbled, of another cluster, one\'s own, of an admin that is gone', async (context) => {
  const [admin, other, first, second] = await Promise.all([startMember(context), startMember(context), startMember(context), startMember(context)])
  const invite = await admin.ok(['member', 'invite'])
  assert.match(invite, /^holdfast-invite-1:\S+$/)
  await first.ok(['member', 'join', invite])
  const expired = await admin.ok(['member', 'invite', '--expires-in', '1ms'])
  const foreign = await other.ok(['member', 'invite'])
  const own = await second.ok(['member', 'invite'])
  const gone = await other.ok(['member', 'invite'])
  const fresh = await admin.ok(['member', 'invite'])

  const newcomer = await startMember(context)
  const rows: ReadonlyArray<[node: TestNode, invite: string, status: number, words: RegExp]> = [
    [newcomer, invite, 2, /was used already/],
    [newcomer, expired, 2, /has expired/],
    [newcomer, `${fresh.slice(0, -9)}AAAAAAAAA`, 2, /not a whole invite/],
    [newcomer, fresh.slice(0, 60), 2, /not a whole invite/],
    [newcomer, 'nonsense', 2, /not a whole invite/],
    [first, foreign, 2, /for another cluster: this node is in "cluster"/],
    [first, fresh, 2, /is a member of the cluster "cluster" already/],
    [second, own, 2, /issued by this node/]
  ]
  for (const [node, text, status, words] of rows) {
    const result = await node.run(['member', 'join', text])
    assert.match(result.stderr, words)
    assert.equal(result.status, status, result.stderr)
  }
  await other.end()
  const unreachable = await newcomer.run(['member', 'join', gone])
  assert.equal(unreachable.status, 6)
  assert.match(unreachable.stderr, /Cannot reach the admin that issued the invite/)
  for (const args of [['--expires-in', '2d'], ['--expires-in', '0s'], ['--expires-in', 'soon'], ['--role', 'king'], ['--zone', 'z'.repeat(65)], ['surplus']]) {
    assert.equal((await admin.run(['member', 'invite', ...args])).status, 2, args.join(' '))
  }
  // Nothing of this used the invite up.
  assert.match(await newcomer.ok(['member', 'join', fresh]), /^joined cluster/)
})
