/** A daemon that is attacked, an honest one next to it, and what can be seen of the first from outside. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { readFile, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { json } from 'node:stream/consumers'
import { pathToFileURL } from 'node:url'
import type { TestContext } from 'node:test'
import { newFolder, startNode, type TestNode } from '../harness.ts'
import type { AttackOptions, AttackReport } from './attack.ts'
import type { Reading } from './probe.ts'

/** How long a fetch may take while an attack runs, in milliseconds. */
const FETCH_MS = 30_000

/** The longest life of an attacker, in milliseconds: it ends by itself then. */
const ATTACKER_MS = 120_000

export interface Arena {
  readonly victim: TestNode
  readonly honest: TestNode
  /** What there was to see since the last call. */
  read(): Promise<Figures>
}

export interface Figures extends Reading {
  /** The most memory that the process had since the last call, in bytes. */
  readonly peakBytes: number
}

export async function openArena (context: TestContext): Promise<Arena> {
  const socket = join(await newFolder(context), 'probe.sock')
  const probe = pathToFileURL(join(import.meta.dirname, 'probe.ts')).href
  const [victim, honest] = await Promise.all([
    startNode(context, { under: ['env', `NODE_OPTIONS=--import=${probe}`, `HOLDFAST_PROBE=${socket}`], flags: ['--network', 'lan'] }),
    startNode(context, { flags: ['--network', 'lan'] })
  ])
  await victim.ok(['connect', addressOf(honest)])
  return {
    victim,
    honest,
    async read () {
      const peakBytes = await peakRss(victim)
      const reading = await json(connect(socket)) as Reading
      await lowerPeak(victim)
      return { ...reading, peakBytes }
    }
  }
}

/** The loopback address of a daemon, with its peer id. */
export function addressOf ({ ready }: TestNode): string {
  const address = ready.swarm.find((each) => each.includes('/ip4/127.0.0.1/'))
  assert.ok(address !== undefined, ready.swarm.join())
  return address
}

export interface HonestFile {
  readonly cid: string
  readonly bytes: Uint8Array
}

/** Makes files that only the honest daemon has. */
export async function newFiles (context: TestContext, { honest }: Arena, options: { count: number, byteLength: number }): Promise<HonestFile[]> {
  const folder = await newFolder(context)
  const files = Array.from({ length: options.count }, (_, index) => ({ path: join(folder, String(index)), bytes: randomBytes(options.byteLength) }))
  await Promise.all(files.map(async ({ path, bytes }) => { await writeFile(path, bytes) }))
  const added = await honest.json<{ path: string, cid: string }>(['add', ...files.map(({ path }) => path)])
  return files.map(({ bytes }, index) => {
    const cid = added.find(({ path }) => path === String(index))?.cid
    assert.ok(cid !== undefined, JSON.stringify(added))
    return { cid, bytes }
  })
}

/** Has the victim fetch it, as a browser would ask for it, and compares every byte. Returns the time in milliseconds. */
export async function fetchFile ({ victim, honest }: Arena, { cid, bytes }: HonestFile): Promise<number> {
  const start = performance.now()
  const response = await fetch(`${victim.ready.gateway}/ipfs/${cid}`, { signal: AbortSignal.timeout(FETCH_MS) })
  const fetched = Buffer.from(await response.arrayBuffer())
  assert.equal(response.status, 200, `${fetched.toString('utf8', 0, 500)}\nhonest: ${honest.log().slice(-1000)}`)
  assert.ok(fetched.equals(bytes), `${fetched.byteLength} bytes are not the file`)
  return performance.now() - start
}

/** A hostile process at work. */
export interface Attacker extends Disposable {
  /** When it got into position, on the clock of `performance.now()`. */
  readonly sinceMs: number
  /** Ends the attack and returns what it says that it did. */
  stop(): Promise<AttackReport>
}

/** Starts an attacker and waits until it is in position. */
export async function startAttacker (options: Omit<AttackOptions, 'deadlineMs'>): Promise<Attacker> {
  const given: AttackOptions = { ...options, deadlineMs: ATTACKER_MS }
  const child = spawn(process.execPath, [join(import.meta.dirname, 'attacker.ts'), JSON.stringify(given)], { stdio: ['pipe', 'pipe', 'inherit'] })
  const exited = once(child, 'exit')
  // It may be gone when it is told to stop; then it says why itself.
  child.stdin.on('error', () => {})
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]()
  const next = async (): Promise<AttackReport> => {
    const { value, done } = await lines.next()
    if (done === true) throw new Error(`Attacker ${options.attack} ended with status ${String((await exited)[0])}`)
    return JSON.parse(value) as AttackReport
  }
  await next()
  return {
    sinceMs: performance.now(),
    async stop () {
      child.stdin.write('stop\n')
      return await next()
    },
    [Symbol.dispose]: () => { child.kill('SIGKILL') }
  }
}

/** The kernel's high-water mark of resident memory. */
async function peakRss ({ process: { pid } }: TestNode): Promise<number> {
  const kib = /^VmHWM:\s+(\d+) kB$/m.exec(await readFile(`/proc/${pid}/status`, 'utf8'))?.[1]
  return Number(kib) * 1024
}

/** Lowers the mark to what is held now. @see proc_pid_clear_refs(5) */
async function lowerPeak ({ process: { pid } }: TestNode): Promise<void> {
  await writeFile(`/proc/${pid}/clear_refs`, '5')
}
