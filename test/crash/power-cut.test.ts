import type { Blockstore } from '@holdfast/blockstore'
import { isErrorCode } from '@holdfast/core'
import { CID } from 'multiformats/cid'
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { newFolder, startNode, type TestNode } from '../harness.ts'
import { skipLoudly } from '../programs.ts'
import { differences } from './check.ts'
import { clientOf, workUntilCrash } from './crash.ts'
import { Ledger } from './ledger.ts'
import { openStore } from './open-store.ts'
import { type FileSystem, type LoopDisk, makeLoopDisk, whyNoLoopDisks } from './loop-disk.ts'
import { SEED, SeededRandom } from './seeded-random.ts'

/** Power cuts on each file system under a node with packs; more for a longer run. */
const CUTS = Number(process.env.CUTS ?? 15)

/** Power cuts under a node with the other engine, for one under a node with packs. */
const SHARE_OF_FILES: number = 1 / 7

/** How long all of a round may take, in milliseconds. */
const ROUND_MS = 60_000

/** How long a daemon whose disk is gone may take to end, in milliseconds. */
const MAX_ENDING_MS = 20_000

/**
 * How a daemon may end besides by its own status once the disk is gone. Pages of an index that is mapped into memory end whoever
 * touches them (SIGBUS), LMDB aborts or loses its way when a write of its pages fails in the midst of a change (SIGABRT, SIGSEGV), and
 * the daemon forces an end that LMDB's threads hold up (SIGKILL): none of them had anything left to make durable.
 */
const LAST_SIGNALS: ReadonlySet<NodeJS.Signals> = new Set(['SIGBUS', 'SIGABRT', 'SIGSEGV', 'SIGKILL'])

/** Times that a cut may find everything written back by chance before we believe that it loses nothing. */
const TRIES_TO_LOSE = 5

const reason = await whyNoLoopDisks()
const skip = reason === undefined ? false : skipLoudly('power cuts', reason)

/** Longer than the address of a socket: the daemon then puts it elsewhere, where clients still reach it after the cut. */
const DEEP = join('r'.repeat(100), 'repository')

const NODES = [
  { fileSystem: 'ext4', engine: 'pack', cuts: CUTS },
  { fileSystem: 'xfs', engine: 'pack', cuts: CUTS },
  { fileSystem: 'ext4', engine: 'fs', cuts: Math.ceil(CUTS * SHARE_OF_FILES) },
  { fileSystem: 'xfs', engine: 'fs', cuts: Math.ceil(CUTS * SHARE_OF_FILES) }
] as const

for (const { fileSystem, engine, cuts } of NODES) {
  test(`what was acknowledged survives power cuts on ${fileSystem}, and the daemon ends by itself: ${engine}`, { skip, timeout: cuts * ROUND_MS }, async (context) => {
    context.diagnostic(`SEED=${SEED} CUTS=${cuts}`)
    const ledger = new Ledger()
    const scratch = await newFolder(context)
    using disk = await makeLoopDisk(fileSystem)
    for (let round = 1; round <= cuts; round++) {
      await using running = await nodeOn(disk, context, engine)
      await workUntilCrash(running.node, {
        ledger,
        scratch,
        round,
        afterMs: new SeededRandom(fileSystem, engine, round).integer(200, 1500),
        crash: async () => {
          ledger.distrustAnswers()
          await cutPower(disk, running.node)
        }
      })
      await disk.remount()
      await using again = await nodeOn(disk, context, engine)
      assert.deepEqual(await differences(clientOf(again.node), ledger), [], `cut ${round} of SEED=${SEED}\n${running.node.log()}`)
    }
    const { pins, unpins } = ledger.counts
    assert.ok(pins >= cuts, `only ${pins} pins were acknowledged`)
    context.diagnostic(`${cuts} power cuts on ${fileSystem}: ${pins} pins and ${unpins} unpins acknowledged, 0 lost`)
  })
}

/** A node whose repository is on the disk; ended before the disk is let go. */
async function nodeOn (disk: LoopDisk, context: TestContext, engine: 'pack' | 'fs'): Promise<{ readonly node: TestNode } & AsyncDisposable> {
  const node = await startNode(context, { repository: join(disk.folder, DEEP), engine })
  return { node, [Symbol.asyncDispose]: async () => { await node.end() } }
}

async function cutPower (disk: LoopDisk, node: TestNode): Promise<void> {
  await disk.cut()
  const ended = await Promise.race([once(node.process, 'exit') as Promise<[number | null, NodeJS.Signals | null]>, sleep(MAX_ENDING_MS, undefined, { ref: false })])
  assert.ok(ended !== undefined, `the daemon goes on without a disk: ${node.log()}`)
  const [status, signal] = ended
  assert.ok((signal !== null && LAST_SIGNALS.has(signal)) || (status !== null && status !== 0), `the daemon ended with ${signal ?? `status ${status}`}: ${node.log()}`)
}

const STORES = [
  { engine: 'pack', fileSystem: 'ext4', durability: 'disk', loses: false },
  { engine: 'pack', fileSystem: 'xfs', durability: 'disk', loses: false },
  { engine: 'fs', fileSystem: 'ext4', durability: 'disk', loses: false },
  // The same cut, and only the syncs are left out: this is what the tests above would find without them.
  { engine: 'pack', fileSystem: 'ext4', durability: 'os', loses: true },
  { engine: 'fs', fileSystem: 'ext4', durability: 'os', loses: true }
] as const

for (const { engine, fileSystem, durability, loses } of STORES) {
  test(`a power cut on ${fileSystem} ${loses ? 'loses acknowledged blocks of' : 'loses nothing of'} a store with durability ${durability}: ${engine}`, { skip, timeout: TRIES_TO_LOSE * ROUND_MS }, async (context) => {
    let lost = await blocksLost(context, { engine, fileSystem, durability })
    for (let tries = 1; loses && lost === 0 && tries < TRIES_TO_LOSE; tries++) lost = await blocksLost(context, { engine, fileSystem, durability })
    assert.equal(lost > 0, loses, `${lost} blocks were lost`)
  })
}

interface Store {
  readonly engine: 'pack' | 'fs'
  readonly fileSystem: FileSystem
  readonly durability: 'disk' | 'os'
}

/** Cuts the power under a store that is written to, and counts the acknowledged blocks that it lost. */
async function blocksLost (context: TestContext, { engine, fileSystem, durability }: Store): Promise<number> {
  using disk = await makeLoopDisk(fileSystem)
  const folder = join(disk.folder, 'blocks')
  const writer = spawn(process.execPath, [join(import.meta.dirname, 'put-forever.ts'), folder, durability, engine], { stdio: ['ignore', 'pipe', 'ignore'] })
  const exited = once(writer, 'exit')
  let printed = ''
  writer.stdout.setEncoding('latin1').on('data', (piece: string) => { printed += piece })
  let acknowledged: readonly string[] = []
  try {
    await sleep(new SeededRandom(engine, fileSystem, durability).integer(1500, 2500))
    // On a busy machine the writer may have begun late.
    for (let tries = 0; !printed.includes('\n') && tries < 600; tries++) await sleep(50)
    acknowledged = printed.split('\n').slice(0, -1)
    await disk.cut()
    await Promise.race([exited, sleep(MAX_ENDING_MS, undefined, { ref: false })])
  } finally {
    writer.kill('SIGKILL')
    await exited
  }
  assert.ok(acknowledged.length > 0, 'the writer got to work')
  await disk.remount()
  const lost = await missingOf(acknowledged, await openStore(engine, folder))
  context.diagnostic(`${engine}, ${fileSystem}, durability ${durability}: ${acknowledged.length} blocks acknowledged, ${lost} lost`)
  return lost
}

async function missingOf (cids: readonly string[], blocks: Blockstore): Promise<number> {
  await using store = blocks
  let missing = 0
  for (const cid of cids) {
    const found = await store.get(CID.parse(cid)).catch((err: unknown) => {
      if (isErrorCode(err, 'CORRUPT')) return undefined
      throw err
    })
    if (found === undefined) missing++
  }
  return missing
}
