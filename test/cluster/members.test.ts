import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, test, type TestContext } from 'node:test'
import { startNode, type StartOptions, type TestNode } from '../harness.ts'

/** Starts a node that peers on this machine can reach. */
async function startMember (context: TestContext, { flags = [], ...options }: StartOptions = {}): Promise<TestNode> {
  return await startNode(context, { ...options, flags: ['--network', 'lan', '--dht', 'off', '--repair-grace', '2s', ...flags] })
}

/** Waits until the check holds, and fails when it never does. */
async function eventually (what: string, check: () => Promise<boolean>, timeoutMs = 90_000): Promise<void> {
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

interface Holder {
  readonly peer: string
  readonly state: string
  readonly isCounted: boolean
  readonly why?: string
}

interface Status {
  readonly id: string
  readonly cid: string
  readonly name?: string
  readonly meta: Readonly<Record<string, string>>
  readonly state: string
  readonly copies: { readonly min: number, readonly max: number }
  readonly countedCount: number
  readonly zoneCount: number
  readonly holders: readonly Holder[]
  readonly missing?: string
}

async function statusOf (node: TestNode, pin: string): Promise<Status> {
  const [status] = await node.json<Status>(['pin', 'status', pin])
  assert.ok(status)
  return status
}

/** The members whose copies count. */
function countedIn ({ holders }: Status): string[] {
  return holders.filter(({ isCounted }) => isCounted).map(({ peer }) => peer).toSorted()
}

// Most of the time is waiting, for members to notice something; what waits longest begins first.
describe('members', { concurrency: 3 }, () => {
  test('more copies than members, content that nobody has, and wrong numbers are told and hold up nothing; a removed member\'s copies do not count', async (context) => {
    const [admin, ...others] = await startCluster(context, [[], [], []])
    assert.ok(admin)
    const missing = 'bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy'
    assert.match(await admin.ok(['pin', 'add', missing, '--copies', '2', '--no-local']), /2 copies in the cluster/)

    const many = await admin.ok(['add', '-q', '--copies', '10000'], { stdin: 'wanted by everybody' })
    await eventually('all three have it', async () => (await statusOf(admin, many)).countedCount === 3)
    assert.match(await admin.ok(['pin', 'status', many]), /copies 3\/10000, zones 1, verified \d+ s ago: .*waiting for members/)
    const refused = await admin.run(['pin', 'status', many, '--wait', '--timeout', '1s'])
    assert.equal(refused.status, 6)
    assert.match(refused.stderr, /has 3 of 5000 copies after 1 s: .*waiting for members/)

    const cid = await admin.ok(['add', '-q', '--copies', '2'], { stdin: 'kept twice' })
    await eventually('there are two', async () => (await statusOf(admin, cid)).countedCount === 2)
    const counted = countedIn(await statusOf(admin, cid))
    const holder = others.find(({ ready }) => counted.includes(ready.peerId))
    assert.ok(holder)
    await admin.ok(['member', 'rm', holder.ready.peerId])
    await eventually('its copy does not count, and the other member has one', async () => {
      const counted = countedIn(await statusOf(admin, cid))
      return !counted.includes(holder.ready.peerId) && counted.length === 2
    })
    await eventually('the removed one knows', async () => (await holder.run(['member', 'ls'])).stderr.includes('was removed'))
    assert.match((await holder.run(['pin', 'add', cid, '--copies', '2'])).stderr, /This node was removed from its cluster/)

    for (const copies of ['0', '-1', '1.5', 'many', '', '999999999999999999']) assert.equal((await admin.run(['pin', 'add', cid, `--copies=${copies}`])).status, 2, copies)
    for (const flags of [['--meta', 'k=v'], ['--expire', '1d'], ['--wait'], ['--no-local'], ['--copies', '2', '--expire', '2001-01-01'], ['--copies', '2', '--meta', 'novalue'], ['--copies', '2', '--timeout', '1s'], ['--copies', '2', '--wait-for', '3'], ['--copies', '2', '--name', 'n'.repeat(256)]]) {
      const result = await admin.run(['pin', 'add', cid, ...flags])
      assert.equal(result.status, 2, `${flags.join(' ')}: ${result.stderr}`)
    }
    assert.equal((await admin.run(['pin', 'status', '00'.repeat(16)])).status, 3)
    await eventually('the status says that nobody has it', async () => (await statusOf(admin, missing)).holders.some(({ why = '' }) => why.includes('nobody has it')), 60_000)
  })

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

  test('a node that is alone in its cluster leaves it when it is told to, roles change everywhere, and who leaves keeps its pins', async (context) => {
    const [admin, member, late] = await Promise.all([startMember(context, { flags: ['--member-name', 'attic'] }), startMember(context, { flags: ['--member-name', 'cellar'] }), startMember(context)])
    assert.ok(admin && member && late)
    await member.ok(['member', 'join', await admin.ok(['member', 'invite'])])
    const added = await late.run(['add', '-Q', '--copies', '2', '--name', 'diary', '--wait'], { stdin: 'written before there was a cluster' })
    const cid = added.stdout.split('\n')[0] ?? ''
    assert.match(added.stderr, new RegExp(`Waited for 1 of 2 copies of ${cid}: --wait waits for half of them at least, --wait-for 2 for all`))
    const invite = await admin.ok(['member', 'invite'])
    const refused = await late.run(['member', 'join', invite])
    assert.equal(refused.status, 2)
    assert.match(refused.stderr, /this node is in "cluster", where it is alone, with 1 pin\. .*--leave/)
    const joined = await late.run(['member', 'join', invite, '--leave'])
    assert.match(joined.stdout, /^joined cluster/)
    assert.match(joined.stderr, /1 copy is a pin of this node alone now/)
    assert.equal(await late.ok(['pin', 'ls']), `${cid}  recursive  diary`)
    assert.equal(await late.ok(['pin', 'ls', '--status']), '')

    await eventually('all know one another', async () => (await Promise.all([admin, member, late].map(membersOf))).every((members) => members.length === 3 && members.every(({ name }) => name !== undefined)))
    const last = await admin.run(['member', 'role', 'attic', 'member'])
    assert.equal(last.status, 2)
    assert.match(last.stderr, /is the last admin of "cluster"/)
    assert.equal((await member.run(['member', 'role', 'attic', 'reader'])).status, 2)
    assert.equal((await admin.run(['member', 'role', 'nobody', 'reader'])).status, 3)
    assert.equal((await admin.run(['member', 'role', 'cellar', 'king'])).status, 2)
    assert.equal(await admin.ok(['member', 'role', 'cellar', 'admin']), `${member.ready.peerId} is an admin`)
    await eventually('the new admin may change roles', async () => (await member.run(['member', 'role', late.ready.peerId, 'reader'])).status === 0)
    await eventually('the reader may not pin', async () => (await late.run(['pin', 'add', cid, '--copies', '2'])).stderr.includes('This node is a reader'))
    assert.equal((await admin.run(['member', 'role', 'attic', 'member'])).status, 0)
    await eventually('the former admin may not invite', async () => (await admin.run(['member', 'invite'])).stderr.includes('is no admin'))

    assert.match(await admin.ok(['member', 'leave']), /^left cluster/)
    await eventually('the others know', async () => (await Promise.all([member, late].map(membersOf))).every((members) => members.length === 2))
    assert.match((await admin.run(['member', 'ls'])).stderr, /is in no cluster/)
    assert.match((await member.run(['member', 'leave'])).stderr, /is the last admin of "cluster"/)
  })

  test('copies arrive, a lost one is made elsewhere after kill -9 of its holder, and the holder comes back with pin and record', async (context) => {
    const nodes = await startCluster(context, [['--zone', 'a'], ['--zone', 'b'], ['--zone', 'c']])
    const [adder] = nodes
    assert.ok(adder)
    const content = randomBytes(3_000_000)
    const printed = await adder.ok(['add', '-Q', '--copies', '2', '--name', 'photos', '--meta', 'from=camera', '--wait-for', '2'], { stdin: content })
    const cid = printed.split('\n')[0] ?? ''
    assert.match(printed, /^ {2}copies 2\/2, zones 2, verified \d+ s ago$/m)

    const status = await statusOf(adder, cid)
    assert.deepEqual([status.state, status.copies, status.countedCount, status.name, status.meta], ['pinned', { min: 1, max: 2 }, 2, 'photos', { from: 'camera' }])
    const holder = nodes.find(({ ready }) => ready.peerId !== adder.ready.peerId && countedIn(status).includes(ready.peerId))
    const third = nodes.find((node) => node !== adder && node !== holder)
    assert.ok(holder && third)
    await eventually('every member tells the same', async () => (await Promise.all(nodes.map((node) => statusOf(node, status.id)))).every((each) => countedIn(each).join() === countedIn(status).join()))
    assert.match(await holder.ok(['pin', 'ls']), new RegExp(`^${cid}  recursive  for the cluster, photos$`))
    assert.equal((await holder.run(['pin', 'rm', '--local', cid])).status, 3)

    await holder.end('SIGKILL')
    await eventually('the third member has a copy', async () => countedIn(await statusOf(adder, cid)).includes(third.ready.peerId))
    const repaired = await statusOf(adder, cid)
    assert.deepEqual(countedIn(repaired), [adder.ready.peerId, third.ready.peerId].toSorted())
    assert.match(repaired.holders.find(({ peer }) => peer === holder.ready.peerId)?.why ?? '', /unreachable for/)

    const restarted = await startMember(context, { repository: holder.repository, flags: ['--zone', 'b'] })
    assert.equal((await statusOf(restarted, status.id)).cid, cid)
    assert.match(await restarted.ok(['pin', 'ls']), /for the cluster/)
    await eventually('its copy counts again', async () => countedIn(await statusOf(adder, cid)).includes(restarted.ready.peerId))

    await adder.end('SIGKILL')
    const response = await fetch(`${third.ready.gateway}/ipfs/${cid}`)
    assert.ok(Buffer.from(await response.arrayBuffer()).equals(content))
    assert.match(await third.ok(['pin', 'rm', cid]), new RegExp(`^unpinned ${cid} recursive, 2 copies in the cluster, id ${status.id}$`))
    await eventually('the copies are given up', async () => (await Promise.all([third, restarted].map((node) => node.ok(['pin', 'ls'])))).every((list) => list === ''))
    assert.equal((await restarted.run(['pin', 'status', cid])).status, 3)
  })

  test('pin update takes over copies, name and meta, and lets the old pin go when the new one has its copies', async (context) => {
    const [first, second] = await startCluster(context, [[], []])
    assert.ok(first && second)
    const old = await first.ok(['add', '-q', '--copies', '2', '--name', 'site', '--meta', 'a=b'], { stdin: 'version 1' })
    const next = await first.ok(['add', '-q', '--no-pin'], { stdin: 'version 2' })
    assert.equal(await first.ok(['pin', 'update', old, next]), `updated ${old} to ${next}`)
    await eventually('the other member has only the new one', async () => await second.ok(['pin', 'ls', '-q']) === next)
    const status = await statusOf(second, next)
    assert.deepEqual([status.name, status.meta, status.copies], ['site', { a: 'b' }, { min: 1, max: 2 }])
    assert.match(await second.ok(['pin', 'ls', '--status']), new RegExp(`^${next}  recursive  pinned  copies 2/2  zones 1  site$`))
    assert.equal((await first.run(['pin', 'update', old, next])).status, 3)
    const kept = await first.ok(['pin', 'ls', '--name', 'site', '-q'])
    assert.equal(kept, next)
    await second.ok(['pin', 'rm', next])
    await eventually('what the first added goes as well', async () => await first.ok(['pin', 'ls']) === '')
  })
})
