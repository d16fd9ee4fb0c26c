import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { pathToFileURL } from 'node:url'
import { skipLoudly } from '../programs.ts'
import { eventually } from './eventually.ts'
import { Ledger } from './ledger.ts'
import { type Member, openWires, startMembers, untilAcquainted, wiredMember } from './members.ts'
import { canWire } from './wires.ts'

const skip = !canWire && skipLoudly('members with wrong clocks', 'Who dials is told by /proc, which Linux has')

const HOUR_MS = 3_600_000
const DAY_MS: number = 24 * HOUR_MS

/** Three members, one of which has a wrong clock. */
async function startCluster (context: TestContext, wrong: 'm0' | 'm2', offsetMs: number): Promise<readonly Member[]> {
  const wires = openWires(context)
  const shifted = ['env', `HOLDFAST_TEST_CLOCK_OFFSET_MS=${offsetMs}`, `NODE_OPTIONS=--import=${pathToFileURL(join(import.meta.dirname, 'shifted-clock.mjs')).href}`]
  const members = await Promise.all(['m0', 'm1', 'm2'].map(async (name) => await wiredMember(context, wires, name, name === wrong ? { under: shifted } : {})))
  await startMembers(members)
  return members
}

/** Without `--long` the two that differ most. */
const ROWS = [['a member', 'm2', 'ahead', DAY_MS], ['a member', 'm2', 'behind', -DAY_MS], ['the admin', 'm0', 'ahead', DAY_MS], ['the admin', 'm0', 'behind', -DAY_MS]] as const

for (const [who, wrongName, what, offsetMs] of process.env['LONG'] === '1' ? ROWS : ROWS.slice(0, 2)) {
  test(`${who} whose clock is a day ${what} disturbs nobody: pins of all are placed, verified and deleted on all, end when they should, and the clock is told`, { skip }, async (context) => {
    const members = await startCluster(context, wrongName, offsetMs)
    const [wrong, other] = [members.find(({ name }) => name === wrongName), members.find(({ name }) => name !== wrongName)]
    assert.ok(wrong !== undefined && other !== undefined)
    const ledger = new Ledger()
    const keep = async (member: Member, name: string, copies: number): Promise<{ id: string, cid: string }> => {
      const content = randomBytes(100_000)
      const pin = await member.add(content, { name, copies })
      ledger.put(pin, content, name)
      return pin
    }
    await eventually('all tell whose clock is wrong', async () => {
      for (const member of members) {
        const told = (await member.members()).map(({ name, clockAheadMs = NaN }) => `${name} ${Math.round(clockAheadMs / HOUR_MS)}`).toSorted().join()
        if (told !== ['m0', 'm1', 'm2'].map((name) => `${name} ${name === wrongName ? offsetMs / HOUR_MS : 0}`).join()) return `${member.name} tells ${told}`
      }
      return undefined
    })
    assert.match(await other.node.ok(['member', 'ls']), new RegExp(`^${wrong.peer} .* clock (24 h 0 min|23 h 59 min) ${what}$`, 'm'))
    assert.match(wrong.node.log(), /The clock of this node is wrong/)

    const theirs = await keep(wrong, 'by the wrong clock', 3)
    const ours = await keep(other, 'by a right clock', 3)
    const content = randomBytes(1000)
    await wrong.node.ok(['add', '-q', '--copies', '2', '--name', 'for an hour', '--expire', '1h'], { stdin: content })
    const ending = (await wrong.statuses()).find(({ name }) => name === 'for an hour')
    assert.ok(ending?.expireAtMs !== undefined && Math.abs(ending.expireAtMs - Date.now() - HOUR_MS) < HOUR_MS / 12, `it ends at ${ending?.expireAtMs}`)
    ledger.put(ending, content, 'for an hour')
    await ledger.untilHeldBy(members)
    for (const { holders } of await other.statuses()) {
      for (const { verifiedAtMs = 0, name } of holders) assert.ok(Math.abs(Date.now() - verifiedAtMs) < HOUR_MS, `${name} verified at ${verifiedAtMs}`)
    }

    // What it wrote does not win for ever, and what the others wrote can be changed by it, also after a restart.
    await wrong.restart()
    await untilAcquainted(members)
    await other.node.ok(['pin', 'rm', theirs.id])
    await wrong.node.ok(['pin', 'rm', ours.id])
    for (const { id } of [theirs, ours]) ledger.delete(id)
    await keep(wrong, 'later', 3)
    await ledger.untilHeldBy(members)
    for (const member of members) await ledger.compare(member)
  })
}
