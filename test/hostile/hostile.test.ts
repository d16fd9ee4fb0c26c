/**
 * Hostile processes around one daemon. During each attack an honest fetch has to complete byte by byte; the daemon's memory and
 * the stalls of its event loop are measured, and afterwards it has to answer and in the end to stop with status 0.
 *
 * All attacks hit the same daemon, one after the other, and memory is compared with what it took for quiet fetches before the
 * first: what an attack leaves behind counts against the next.
 */
import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { skipLoudly } from '../programs.ts'
import { addressOf, type Arena, type Attacker, fetchFile, newFile, openArena, startAttacker } from './arena.ts'
import type { Stall } from './probe.ts'
import { type Scenario, SCENARIOS } from './scenarios.ts'
import { MIB } from './wire.ts'

const isLong = process.env['LONG'] === '1'

/** How long each attack goes on at least, in milliseconds. */
const ATTACK_MS = isLong ? 15_000 : 1500

const FILE_BYTES = (isLong ? 16 : 4) * MIB

/** The longest that the daemon's own work may hold up its event loop, in milliseconds. Issue 4. */
const MAX_STALL_MS = 100

/** How long an honest peer may take to connect, in milliseconds; half of it is the start of the command. reliability.md T2.1-a. */
const MAX_CONNECT_MS = 4000

/** Fetches before the first measurement: code is loaded and compiled, the heap has its size. */
const WARM_UP_FETCHES = 3

const only = process.env['ONLY']

test('a daemon among hostile peers', { timeout: (SCENARIOS.length + 2) * (ATTACK_MS + 60_000), skip: process.platform === 'linux' ? false : skipLoudly('hostile peers', 'Memory is read from /proc.') }, async (context) => {
  const arena = await openArena(context)
  for (let count = 0; count < WARM_UP_FETCHES; count++) await fetchFile(arena, await newFile(arena, FILE_BYTES))
  const held: string[] = []
  let quietBytes = 0

  await context.test('quiet: nobody attacks', async (context) => {
    await arena.stalls()
    await arena.peakRss()
    const file = await newFile(arena, FILE_BYTES)
    const fetchMs = await fetchFile(arena, file)
    held.push(file.cid)
    quietBytes = await arena.peakRss()
    const stall = await arena.stalls()
    tell(context, { fetchMs: Math.round(fetchMs), rssMiB: Math.round(quietBytes / MIB), ...rounded(stall) })
    assert.ok(stall.ownMs <= MAX_STALL_MS, `The event loop stood still for ${stall.ownMs} ms without any attack`)
  })

  for (const scenario of SCENARIOS.filter(({ name, attack }) => only === undefined || name.includes(only) || attack === only)) {
    await context.test(scenario.name, async (context) => { await stand(context, arena, { scenario, held, quietBytes }) })
  }

  await context.test('both daemons end in order, and nothing was left unhandled', async () => {
    assert.doesNotMatch(arena.victim.log(), /unhandled|uncaught|^\s+at .*:\d+:\d+\)?$/im)
    assert.equal(await arena.victim.end(), 0, arena.victim.log().slice(-2000))
    assert.equal(await arena.honest.end(), 0, arena.honest.log().slice(-2000))
  })
})

interface Trial {
  readonly scenario: Scenario
  readonly held: readonly string[]
  readonly quietBytes: number
}

/** Runs one attack and judges the daemon. */
async function stand (context: TestContext, arena: Arena, { scenario, held, quietBytes }: Trial): Promise<void> {
  const file = await newFile(arena, FILE_BYTES)
  await arena.stalls()
  await arena.peakRss()
  const { attack, parameters } = scenario
  using attacker = await startAttacker({ attack, parameters, held, cid: file.cid, durationMs: ATTACK_MS, victim: addressOf(arena.victim), honest: addressOf(arena.honest) })
  const fetchMs = await fetchFile(arena, file)
  await scenario.during?.(arena, file)
  if (scenario.isAboutConnections === true) await connectAnew(arena)
  if (isLong) await fetchOn(arena, attacker)
  const report = await attacker.report

  const grownBytes = await arena.peakRss() - quietBytes
  const stall = await arena.stalls()
  tell(context, { fetchMs: Math.round(fetchMs), grownMiB: Math.round(grownBytes / MIB), ...rounded(stall), ...report })
  scenario.check(report, { isLong })
  assert.match(await arena.victim.ok(['id']), new RegExp(arena.victim.ready.peerId))
  assert.ok(grownBytes <= scenario.budgetBytes, `The daemon took ${Math.round(grownBytes / MIB)} MiB more than in quiet, its budget is ${Math.round(scenario.budgetBytes / MIB)} MiB`)
  assert.ok(stall.ownMs <= MAX_STALL_MS, `The event loop stood still for ${Math.round(stall.ownMs)} ms; at most ${MAX_STALL_MS} are allowed`)
}

/** Goes on with fresh files as long as the attack lasts. */
async function fetchOn (arena: Arena, attacker: Attacker): Promise<void> {
  while (!attacker.isOver()) await fetchFile(arena, await newFile(arena, FILE_BYTES))
}

/** The honest peer leaves and comes back by a connection of its own. */
async function connectAnew ({ victim, honest }: Arena): Promise<void> {
  await honest.ok(['disconnect', victim.ready.peerId])
  const start = performance.now()
  await honest.ok(['connect', addressOf(victim)])
  const connectMs = performance.now() - start
  assert.ok(connectMs <= MAX_CONNECT_MS, `An honest peer took ${Math.round(connectMs)} ms to connect`)
}

function rounded ({ ownMs, wallMs }: Stall): object {
  return { stallMs: Math.round(ownMs), wallStallMs: Math.round(wallMs) }
}

function tell (context: TestContext, figures: object): void {
  context.diagnostic(Object.entries(figures).map(([name, value]) => `${name} ${value}`).join(', '))
}
