import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { text } from 'node:stream/consumers'

/** The launcher that people run. */
export const HOLDFAST: string = join(import.meta.dirname, '../apps/node/bin/holdfast.cjs')

/** How long a command of a test may take before it is ended, in milliseconds. */
const COMMAND_MS = 120_000

export interface Finished {
  readonly status: number | null
  readonly stdout: string
  readonly stderr: string
}

export interface RunOptions {
  readonly stdin?: string | Uint8Array | undefined
  readonly cwd?: string | undefined
  readonly env?: Readonly<Record<string, string>> | undefined
}

const ENDINGS = new WeakMap<TestContext, Array<() => Promise<void>>>()

/** Has `end` called when the test ends, before whatever was registered earlier: daemons stop before their folders go. */
export function atEnd (context: TestContext, end: () => Promise<void>): void {
  const endings = ENDINGS.get(context) ?? []
  endings.push(end)
  if (ENDINGS.has(context)) return
  ENDINGS.set(context, endings)
  context.after(async () => { for (const ending of endings.toReversed()) await ending() })
}

/** Makes an empty folder that goes when the test ends. */
export async function newFolder (context: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-'))
  atEnd(context, async () => { await rm(folder, { recursive: true, force: true }) })
  return folder
}

/** Runs a command line to its end. */
export async function holdfast (args: readonly string[], { stdin, cwd, env }: RunOptions = {}): Promise<Finished> {
  const child = spawn(process.execPath, [HOLDFAST, ...args], { cwd, env: { ...process.env, HOLDFAST_PATH: '/nonexistent/holdfast', ...env }, timeout: COMMAND_MS })
  // A command that fails early does not read its input to the end.
  child.stdin.on('error', () => {})
  child.stdin.end(stdin)
  const [stdout, stderr, [status]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'exit') as Promise<[number | null]>])
  return { status, stdout, stderr }
}

/** What `start --json` prints. */
export interface Ready {
  readonly peerId: string
  readonly swarm: readonly string[]
  readonly gateway: string
  readonly rpc: string
  readonly engine: string
  readonly durability: string
}

/** A daemon of its own repository, in a process of its own. */
export interface TestNode {
  readonly repository: string
  readonly ready: Ready
  readonly process: ChildProcess
  /** Runs a command against this daemon. */
  run(args: readonly string[], options?: RunOptions): Promise<Finished>
  /** Runs a command that must succeed and returns what it printed, without the last line feed. */
  ok(args: readonly string[], options?: RunOptions): Promise<string>
  /** Runs a command that prints JSON, one value a line. */
  json<T>(args: readonly string[], options?: RunOptions): Promise<T[]>
  /** Ends the daemon by a signal and waits for it. */
  end(signal?: NodeJS.Signals): Promise<number | null>
  /** What the daemon printed on standard error so far. */
  log(): string
  /** Resident memory of the daemon, in bytes (Linux). */
  rss(): Promise<number>
}

export interface StartOptions {
  readonly repository?: string | undefined
  /** The engine of a repository that is made for it. @default that of new repositories */
  readonly engine?: 'pack' | 'fs' | undefined
  readonly flags?: readonly string[] | undefined
  /** Programs and arguments that the daemon runs under: `prlimit`, for example. */
  readonly under?: readonly string[] | undefined
}

/** Flags of a daemon that looks for nobody by itself. */
export const NO_DISCOVERY: readonly string[] = ['--bootstrap', 'none', '--mdns', 'off', '--upnp', 'off', '--relay-client', 'off', '--autonat', 'off', '--hole-punching', 'off']

/** Starts a daemon on free ports and waits until it is ready. It is ended with the test. */
export async function startNode (context: TestContext, { repository, engine, flags = [], under = [] }: StartOptions = {}): Promise<TestNode> {
  const folder = repository ?? join(await newFolder(context), 'repository')
  if (engine !== undefined) {
    const { status, stderr } = await holdfast(['init', '--path', folder, '--engine', engine])
    if (status !== 0) throw new Error(`holdfast init ended with status ${status}: ${stderr}`)
  }
  const [program = process.execPath, ...args] = [...under, process.execPath, HOLDFAST, 'start', '--json', '--path', folder, '--gateway-port', '0', '--swarm-port', '0', '--rpc-port', '0', '--network', 'off', ...NO_DISCOVERY, ...flags]
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] })
  let log = ''
  child.stderr.setEncoding('utf8').on('data', (piece: string) => { log += piece })
  const exited = once(child, 'exit') as Promise<[number | null]>
  const end = async (signal: NodeJS.Signals = 'SIGTERM'): Promise<number | null> => {
    if (child.exitCode !== null || child.signalCode !== null) return child.exitCode
    child.kill(signal)
    return (await exited)[0]
  }
  atEnd(context, async () => { await end() })

  const ready = await Promise.race([firstLine(child), exited.then(([status]) => { throw new Error(`The daemon ended with status ${status}: ${log}`) })])
  const run: TestNode['run'] = async (args, options) => await holdfast(['--path', folder, ...args], options)
  const ok: TestNode['ok'] = async (args, options) => {
    const { status, stdout, stderr } = await run(args, options)
    if (status !== 0) throw new Error(`holdfast ${args.join(' ')} ended with status ${status}: ${stderr}\n${log}`)
    return stdout.trimEnd()
  }
  return {
    repository: folder,
    ready: JSON.parse(ready) as Ready,
    process: child,
    run,
    ok,
    json: async <T>(args: readonly string[], options?: RunOptions) => (await ok([...args, '--json'], options)).split('\n').filter((line) => line !== '').map((line) => JSON.parse(line) as T),
    end,
    log: () => log,
    rss: async () => Number(/^VmRSS:\s+(\d+) kB$/m.exec(await readFile(`/proc/${child.pid}/status`, 'utf8'))?.[1]) * 1024
  }
}

async function firstLine (child: ChildProcess): Promise<string> {
  let line = ''
  for await (const piece of child.stdout ?? []) {
    line += String(piece)
    if (line.includes('\n')) return line
  }
  // It ended without a word on standard output: its exit status tells more.
  return await new Promise(() => {})
}

/** An address of the node that processes of this machine reach. */
export function loopbackAddress ({ ready }: TestNode): string {
  const address = ready.swarm.find((each) => each.includes('/ip4/127.0.0.1/'))
  assert.ok(address, ready.swarm.join())
  return address
}
