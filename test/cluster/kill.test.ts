import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test, type TestContext } from 'node:test'
import { skipLoudly } from '../programs.ts'
import { eventually, found } from './eventually.ts'
import { Ledger } from './ledger.ts'
import { type Member, openWires, startMembers, untilAcquainted, wiredMember } from './members.ts'
import { canWire, type Wires } from './wires.ts'

const skip = !canWire && skipLoudly('killed members', 'Who dials is told by /proc, which Linux has')

const isLong = process.env['LONG'] === '1'

/** What goes on when a member is killed. */
const PHASES = ['add', 'placement', 'fetch', 'exchange'] as const

/** Who is killed. `holder` is to have a copy, or has one; `bystander` has nothing to do with the pin. */
const ROLES = ['adder', 'holder', 'admin', 'bystander'] as const

type Phase = typeof PHASES[number]
type Role = typeof ROLES[number]

/** Bytes of each content: a dozen blocks. Half of them are several messages, which arrive as a whole, and far above what records and heartbeats take. */
const CONTENT_BYTES: number = 12 << 20

/** A member that is let this far has the record of a pin, and not a block of its content. */
const RECORDS_ONLY_BYTES: number = 32 << 10

/** A member that is let this far is in the middle of its fetch. */
const HALF_BYTES: number = CONTENT_BYTES / 2

/** Pins that a member missed, and how far it is let into their records: some 400 bytes each. */
const MISSED_PINS = 80
const SOME_RECORDS_BYTES: number = 12 << 10

/** What a round of the test is about, and what it works with. */
interface Round {
  readonly members: readonly Member[]
  readonly wires: Wires
  readonly ledger: Ledger
  readonly role: Role
}

/** Without `--long` each phase and each role once per cluster. */
function rounds (shift: number): ReadonlyArray<readonly [phase: Phase, role: Role]> {
  if (isLong) return PHASES.flatMap((phase) => ROLES.map((role) => [phase, role] as const))
  return PHASES.map((phase, index) => [phase, ROLES[(index + shift) % ROLES.length] ?? 'adder'] as const)
}

for (const [count, shift] of [[3, 0], [5, 2]] as const) {
  test(`of ${count} members any one is killed at any time: no acknowledged pin is lost, all tell the same pins, and these have their copies`, { skip }, async (context) => {
    const wires = openWires(context)
    const members = await Promise.all(Array.from({ length: count }, async (_, index) => await wiredMember(context, wires, `m${index}`)))
    await startMembers(members)
    const ledger = new Ledger()
    // A copy, so that there is a holder from the first round on.
    await keep(ledger, adderOf(members), randomBytes(10_000))
    await ledger.untilHeldBy(members)
    for (const [phase, role] of rounds(shift)) await playRound(context, phase, { members, wires, ledger, role })
    const last = members.at(-1)
    assert.ok(last)
    await ledger.compare(last)
  })
}

async function playRound (context: TestContext, phase: Phase, round: Round): Promise<void> {
  const { members, ledger, role } = round
  const startedMs = performance.now()
  const victim = await PLAYS[phase](round)
  await victim.restart()
  await untilAcquainted(members)
  await ledger.untilHeldBy(members)
  context.diagnostic(`${members.length} members, ${role} killed during ${phase}: as wanted after ${((performance.now() - startedMs) / 1000).toFixed(1)} s`)
}

/** Each leads into its phase, kills the member of the role there, and returns it. */
const PLAYS: Readonly<Record<Phase, (round: Round) => Promise<Member>>> = { add: duringAdd, placement: duringPlacement, fetch: duringFetch, exchange: duringExchange }

async function duringAdd ({ members, ledger, role }: Round): Promise<Member> {
  const adder = adderOf(members)
  const content = randomBytes(CONTENT_BYTES)
  const halfSent = Promise.withResolvers<void>()
  const goOn = Promise.withResolvers<void>()
  const adding = adder.add(async function * () {
    yield content.subarray(0, content.byteLength / 2)
    halfSent.resolve()
    await goOn.promise
    yield content.subarray(content.byteLength / 2)
  }())
  const outcome = adding.catch((err: unknown) => err)
  await halfSent.promise
  const [someHolder] = await holdersOf(members, adder)
  const victim = memberOf(role, { members, holder: someHolder })
  await victim.kill()
  goOn.resolve()
  if (victim === adder) assert.ok(await outcome instanceof Error, 'an add that was not finished is not acknowledged')
  else ledger.put(await adding, content)
  return victim
}

async function duringPlacement (round: Round): Promise<Member> {
  return await whileHeldUp(round, RECORDS_ONLY_BYTES, async () => {})
}

async function duringFetch (round: Round): Promise<Member> {
  return await whileHeldUp(round, HALF_BYTES, async ({ holder, reached, id }) => {
    await reached
    await eventually('the holder tells of its fetch', async () => {
      const status = (await holder.statusOf(id))?.holders.find(({ peer }) => peer === holder.peer)
      return status?.state === 'fetching' && (status.percent ?? 0) > 0 ? undefined : JSON.stringify(status)
    })
  })
}

/** Kills when the pin is known to a member that is to have a copy of it, and holds up what that one is sent. */
async function whileHeldUp ({ members, wires, ledger, role }: Round, maxBytes: number, untilThen: (at: { holder: Member, reached: Promise<void>, id: string }) => Promise<void>): Promise<Member> {
  const adder = adderOf(members)
  using held = new DisposableStack()
  const limits = new Map(members.filter((member) => member !== adder).map((member) => [member, held.use(wires.limit(member.name, maxBytes))]))
  const id = await keep(ledger, adder, randomBytes(CONTENT_BYTES))
  const holder = await found('a member that is to have a copy, and knows it', async () => {
    const peers = (await adder.statusOf(id))?.holders.map(({ peer }) => peer)
    const chosen = members.find((member) => member !== adder && peers?.includes(member.peer))
    return await chosen?.statusOf(id) === undefined ? undefined : chosen
  })
  await untilThen({ holder, reached: limits.get(holder)?.reached ?? Promise.resolve(), id })
  assert.equal((await holder.statusOf(id))?.holders.some(({ peer, isCounted }) => peer === holder.peer && isCounted), false, 'the copy is not there yet')
  const victim = memberOf(role, { members, holder })
  await victim.kill()
  return victim
}

/** A member was down while much was pinned. It comes back, and one is killed while it learns of that. */
async function duringExchange ({ members, wires, ledger, role }: Round): Promise<Member> {
  const [adder, learner] = [adderOf(members), members.at(-1)]
  assert.ok(learner)
  await learner.kill()
  const queue = Array.from({ length: MISSED_PINS }, (_, index) => `pin ${index}`)
  await Promise.all(Array.from({ length: 8 }, async () => {
    for (let name = queue.pop(); name !== undefined; name = queue.pop()) await keep(ledger, adder, randomBytes(200), name)
  }))
  using limit = wires.limit(learner.name, SOME_RECORDS_BYTES)
  await learner.start()
  await limit.reached
  assert.ok((await learner.statuses()).length < ledger.pinCount, 'it does not know all of them yet')
  const victim = role === 'bystander' ? learner : memberOf(role, { members, holder: (await holdersOf(members, adder))[0] })
  await victim.kill()
  return victim
}

async function keep (ledger: Ledger, adder: Member, content: Uint8Array, name?: string): Promise<string> {
  const pin = await adder.add(content, { name })
  ledger.put(pin, content, name)
  return pin.id
}

/** Not the admin. */
function adderOf ([, adder]: readonly Member[]): Member {
  assert.ok(adder)
  return adder
}

/** Members other than the adder whose copies count, of any pin. */
async function holdersOf (members: readonly Member[], adder: Member): Promise<Member[]> {
  const peers = new Set((await adder.statuses()).flatMap(({ holders }) => holders.filter(({ isCounted }) => isCounted).map(({ peer }) => peer)))
  return members.filter((member) => member !== adder && peers.has(member.peer))
}

function memberOf (role: Role, { members, holder }: { readonly members: readonly Member[], readonly holder: Member | undefined }): Member {
  const [admin, adder] = members
  const member = { adder, holder, admin, bystander: members.find((each) => each !== admin && each !== adder && each !== holder) ?? admin }[role]
  assert.ok(member, `there is a member for the role ${role}`)
  return member
}
