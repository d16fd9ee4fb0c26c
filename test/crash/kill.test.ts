import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { HOLDFAST, newFolder, startNode } from '../harness.ts'
import { differences } from './check.ts'
import { clientOf, workUntilCrash } from './crash.ts'
import { Ledger } from './ledger.ts'
import { SEED, SeededRandom } from './seeded-random.ts'

/** Crashes of a node with packs; more for a longer run. */
const ROUNDS = Number(process.env.ROUNDS ?? 100)

/** Crashes of a node with the other engine, for one with packs. */
const SHARE_OF_FILES: number = 1 / 16

/** How long a start after a crash may take until the node is ready, in milliseconds: 0.5 s alone, 21 s were seen where many others want the cores. */
const MAX_RESTART_MS = 60_000

/** How long all of a round may take, in milliseconds. */
const ROUND_MS = 120_000

for (const { engine, rounds } of [{ engine: 'pack', rounds: ROUNDS }, { engine: 'fs', rounds: Math.ceil(ROUNDS * SHARE_OF_FILES) }] as const) test(`what was acknowledged survives kill -9 at any moment, and what was unpinned stays so: ${engine}`, { timeout: rounds * ROUND_MS }, async (context) => {
  context.diagnostic(`SEED=${SEED} ROUNDS=${rounds}`)
  const [repository, scratch] = [join(await newFolder(context), 'repository'), await newFolder(context)]
  const ledger = new Ledger()
  const restartsMs: number[] = []
  let node = await startNode(context, { repository, engine })
  await leaveScratch(repository)
  for (let round = 1; round <= rounds; round++) {
    const random = new SeededRandom(round, 'kill', engine)
    await workUntilCrash(node, { ledger, scratch, round, afterMs: random.once(10) ? random.integer(600, 2500) : random.integer(20, 600), crash: async () => { await node.end('SIGKILL') } })
    if (random.once(3)) await killWhileStarting(repository, random.integer(10, 600))

    const startedMs = performance.now()
    node = await startNode(context, { repository })
    restartsMs.push(performance.now() - startedMs)
    assert.ok((restartsMs.at(-1) ?? 0) < MAX_RESTART_MS, `restart ${round} took ${restartsMs.at(-1)} ms`)
    assert.deepEqual(await differences(clientOf(node), ledger), [], `round ${round} of SEED=${SEED}\n${node.log()}`)
    assert.deepEqual((await readdir(repository, { recursive: true })).filter((name) => name.endsWith('.tmp')), [], 'temporary files are swept')
  }
  const { pins, unpins } = ledger.counts
  assert.ok(pins >= rounds, `only ${pins} pins were acknowledged`)
  context.diagnostic(`${rounds} kills, ${pins} pins and ${unpins} unpins acknowledged, 0 lost; slowest restart ${Math.round(Math.max(...restartsMs))} ms`)
})

/** Leaves what a daemon leaves that is killed while it writes its key. */
async function leaveScratch (repository: string): Promise<void> {
  const gone = spawn(process.execPath, ['-e', ''])
  await once(gone, 'exit')
  await writeFile(join(repository, `identity.key.${gone.pid}--${randomUUID()}.tmp`), 'half a ke')
}

/** Recovery is interrupted too. */
async function killWhileStarting (repository: string, afterMs: number): Promise<void> {
  const child = spawn(process.execPath, [HOLDFAST, 'start', '--path', repository, '--gateway-port', '0', '--rpc-port', '0', '--network', 'off'], { stdio: 'ignore' })
  const exited = once(child, 'exit')
  await sleep(afterMs)
  child.kill('SIGKILL')
  await exited
}
