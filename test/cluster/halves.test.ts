import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test, type TestContext } from 'node:test'
import { skipLoudly } from '../programs.ts'
import { eventually } from './eventually.ts'
import { Ledger } from './ledger.ts'
import { type Member, openWires, startMembers, wiredMember } from './members.ts'
import { canWire, type Wires } from './wires.ts'

const skip = !canWire && skipLoudly('members that are cut apart', 'Who dials is told by /proc, which Linux has')

interface Cluster {
  readonly wires: Wires
  readonly members: readonly Member[]
}

async function startCluster (context: TestContext, count: number): Promise<Cluster> {
  const wires = openWires(context)
  const members = await Promise.all(Array.from({ length: count }, async (_, index) => await wiredMember(context, wires, `m${index}`)))
  await startMembers(members)
  return { wires, members }
}

/** Cuts members apart and waits until both sides have noticed. */
async function cutApart (wires: Wires, some: readonly Member[], others: readonly Member[]): Promise<void> {
  wires.cut(some.map(({ name }) => name), others.map(({ name }) => name))
  await eventually('both sides notice that they are cut apart', async () => {
    for (const [here, there] of [[some, others], [others, some]] as const) {
      for (const member of here) {
        const alive = (await member.members()).filter(({ peer, isAlive }) => isAlive && there.some((other) => other.peer === peer))
        if (alive.length > 0) return `${member.name} hears ${alive.map(({ name }) => name).join(', ')}`
      }
    }
    return undefined
  })
}

/** Waits until all tell the same pins, as names and what they stand for. */
async function untilSame (members: readonly Member[]): Promise<void> {
  await eventually('all tell the same pins', async () => {
    const lists = await Promise.all(members.map(async (member) => (await member.statuses()).map(({ id, cid, name }) => `${id} ${cid} ${name}`).sort().join('\n')))
    return new Set(lists).size === 1 ? undefined : lists.map((list, index) => `${members[index]?.name}:\n${list}`).join('\n')
  })
}

async function namesOn (member: Member): Promise<string[]> {
  return (await member.statuses()).map(({ name = '' }) => name).toSorted()
}

test('two halves of five that were cut apart converge when they meet: puts of both sides stay, deletes erase what they saw and nothing else, updates are told by all', { skip }, async (context) => {
  const { wires, members } = await startCluster(context, 5)
  const [a, b, c, d, e] = members
  assert.ok(a !== undefined && b !== undefined && c !== undefined && d !== undefined && e !== undefined)
  const ledger = new Ledger()
  const keep = async (member: Member, name: string): Promise<{ id: string, cid: string }> => {
    const content = randomBytes(100_000)
    const pin = await member.add(content, { name })
    ledger.put(pin, content, name)
    return pin
  }
  const contents = { old: randomBytes(90_000), here: randomBytes(80_000), there: randomBytes(70_000) }
  const twice = await a.add(contents.old, { name: 'changed on both sides' })
  const [deleted, deletedTwice, updated] = [await keep(a, 'deleted by one side'), await keep(c, 'deleted by both sides'), await keep(e, 'updated')]
  const contested = randomBytes(50_000)
  const seen = await b.add(contested, { name: 'seen by the delete' })
  await keep(b, 'left alone')
  const all = [a, b, c, d, e]
  await eventually('all know all', async () => (await Promise.all(all.map(async (member) => (await member.statuses()).length))).every((count) => count === 6) ? undefined : 'not yet')

  await cutApart(wires, [a, b], [c, d, e])
  await keep(a, 'put by the smaller side')
  await keep(d, 'put by the larger side')
  await b.node.ok(['pin', 'rm', deleted.id])
  await a.node.ok(['pin', 'rm', deletedTwice.id])
  await e.node.ok(['pin', 'rm', deletedTwice.id])
  for (const { id } of [deleted, deletedTwice]) ledger.delete(id)
  // A put wins over a delete that had not seen it.
  await a.node.ok(['pin', 'rm', seen.cid])
  ledger.put(await c.add(contested, { name: 'pinned again at the same time' }), contested, 'pinned again at the same time')
  // An update puts the new one and deletes the old one: on both sides at the same time there are two new ones, and neither is lost.
  for (const [member, content] of [[a, contents.here], [d, contents.there]] as const) {
    const cid = await member.node.ok(['add', '-Q', '--no-pin'], { stdin: content })
    await member.node.ok(['pin', 'update', twice.cid, cid, '--timeout', '60s'])
    const status = (await member.statuses()).find((status) => status.cid === cid)
    assert.ok(status)
    ledger.put(status, content, 'changed on both sides')
  }
  const next = randomBytes(60_000)
  const nextCid = await e.node.ok(['add', '-Q', '--no-pin'], { stdin: next })
  await e.node.ok(['pin', 'update', updated.cid, nextCid, '--timeout', '60s'])
  ledger.delete(updated.id)
  const updatedTo = (await e.statuses()).find(({ cid }) => cid === nextCid)
  assert.ok(updatedTo)
  ledger.put(updatedTo, next, 'updated')
  await untilSame([a, b])
  await untilSame([c, d, e])
  assert.notDeepEqual(await namesOn(a), await namesOn(c))

  wires.mend()
  await untilSame(all)
  await ledger.untilHeldBy(all)
  for (const member of [b, c]) await ledger.compare(member)
})

test('a member that was removed while it was cut off: what it writes is ignored by all, its copies do not count, and nobody restarts', { skip }, async (context) => {
  const { wires, members } = await startCluster(context, 3)
  const [admin, other, removed] = members
  assert.ok(admin !== undefined && other !== undefined && removed !== undefined)
  const ledger = new Ledger()
  const [everywhere, theirs] = [randomBytes(50_000), randomBytes(40_000)]
  const pin = await admin.add(everywhere, { copies: 3, name: 'everywhere' })
  ledger.put(pin, everywhere, 'everywhere')
  const early = await removed.add(theirs, { copies: 2, name: 'pinned before' })
  ledger.put(early, theirs, 'pinned before')
  await ledger.untilHeldBy(members)

  await cutApart(wires, [admin, other], [removed])
  await admin.node.ok(['member', 'rm', removed.peer])
  await eventually('the other member knows of the removal', async () => (await other.members()).length === 2 ? undefined : 'it does not')
  const counted = async (member: Member): Promise<string[]> => (await member.statusOf(pin.id))?.holders.filter(({ isCounted }) => isCounted).map(({ peer }) => peer).toSorted() ?? []
  for (const member of [admin, other]) {
    await eventually('its copy does not count', async () => {
      const peers = await counted(member)
      return peers.includes(removed.peer) || peers.length !== 2 ? peers.join() : undefined
    })
  }

  // It does not know yet, so it takes what it is asked.
  await removed.add(randomBytes(1000), { name: 'pinned too late' })
  await removed.node.ok(['pin', 'rm', pin.id])
  wires.mend()
  await eventually('the removed one learns of it', async () => (await removed.node.run(['member', 'ls'])).stderr.includes('was removed') ? undefined : 'it does not know')
  assert.match((await removed.node.run(['pin', 'add', pin.cid, '--copies', '2'])).stderr, /This node was removed from its cluster/)

  // What comes after it shows that the exchange goes on, and that nothing of the removed one came with it.
  const last = randomBytes(2000)
  ledger.put(await other.add(last, { name: 'pinned after' }), last, 'pinned after')
  await eventually('the pins are those of the members', async () => {
    for (const member of [admin, other]) {
      const names = (await namesOn(member)).join()
      if (names !== 'everywhere,pinned after,pinned before') return `${member.name}: ${names}`
      const early = (await member.statuses()).find(({ name }) => name === 'pinned before')
      if (early?.countedCount !== 2 || early.holders.some(({ peer, isCounted }) => isCounted && peer === removed.peer)) return `${member.name}: ${JSON.stringify(early)}`
    }
    return undefined
  })
  for (const member of [admin, other]) {
    assert.deepEqual(await counted(member), [admin.peer, other.peer].toSorted())
    await ledger.compare(member)
  }
})
