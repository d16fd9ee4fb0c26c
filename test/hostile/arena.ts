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
import type { Stall } from './probe.ts'

/** How long a fetch may take while an attack runs, in milliseconds. */
const FETCH_MS = 30_000

/** How long an attacker may take until it is in position, in milliseconds. */
const POSITION_MS = 20_000

export interface Arena {
  readonly victim: TestNode
  readonly honest: TestNode
  /** The stalls since the last call. */
  stalls(): Promise<Stall>
  /** The most memory that the victim held since the last call, in bytes. */
  peakRss(): Promise<number>
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
    stalls: async () => await json(connect(socket)) as Stall,
    peakRss: async () => await peakRss(victim)
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

/** Makes a file that only the honest daemon has. */
export async function newFile ({ honest }: Arena, byteLength: number): Promise<HonestFile> {
  const bytes = randomBytes(byteLength)
  return { cid: await honest.ok(['add', '-Q'], { stdin: bytes }), bytes }
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
export interface Attacker {
  readonly isOver: () => boolean
  /** What it says that it did, when its time is over. */
  readonly report: Promise<AttackReport>
  readonly [Symbol.dispose]: () => void
}

/** Starts an attacker and waits until it is in position. */
export async function startAttacker (options: AttackOptions): Promise<Attacker> {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'attacker.ts'), JSON.stringify(options)], { stdio: ['pipe', 'pipe', 'inherit'] })
  const exited = once(child, 'exit')
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]()
  const next = async (): Promise<AttackReport> => {
    const { value, done } = await lines.next()
    if (done === true) throw new Error(`Attacker ${options.attack} ended with status ${String((await exited)[0])}`)
    return JSON.parse(value) as AttackReport
  }
  const timer = setTimeout(() => { child.kill('SIGKILL') }, POSITION_MS)
  await next()
  clearTimeout(timer)
  let isOver = false
  const report = next().finally(() => { isOver = true })
  // Whoever waits for it sees the error; until then it is nobody's.
  report.catch(() => {})
  return { report, isOver: () => isOver, [Symbol.dispose]: () => { child.kill('SIGKILL') } }
}

/** The kernel's high-water mark, which is then lowered to what is held now. @see proc_pid_clear_refs(5) */
async function peakRss ({ process: { pid } }: TestNode): Promise<number> {
  const kib = /^VmHWM:\s+(\d+) kB$/m.exec(await readFile(`/proc/${pid}/status`, 'utf8'))?.[1]
  await writeFile(`/proc/${pid}/clear_refs`, '5')
  return Number(kib) * 1024
}
