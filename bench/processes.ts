import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { text } from 'node:stream/consumers'

/** Sixteen threads for files instead of Node's four: our launcher asks for them itself, and Helia shall have as many. */
const ENVIRONMENT = { ...process.env, UV_THREADPOOL_SIZE: '16' }

/** Clock ticks of /proc/PID/stat, per second: fixed by Linux for what it shows to programs. */
const TICKS_PER_SECOND = 100

const HOLDFAST = join(import.meta.dirname, '../apps/node/bin/holdfast.cjs')

/** Runs a script of `subjects/` to its end and reads the JSON that it prints. */
export async function subject<T> (name: string, args: readonly string[]): Promise<T> {
  return JSON.parse(await output([subjectPath(name), ...args])) as T
}

/** Runs a command line of ours to its end and returns what it printed. */
export async function holdfast (args: readonly string[]): Promise<string> {
  return (await output([HOLDFAST, ...args])).trim()
}

/** Runs node with these arguments; its output is thrown away when it goes to a file or nowhere. */
export async function output (args: readonly string[], { discard = false }: { discard?: boolean } = {}): Promise<string> {
  const child = spawn(process.execPath, args, { stdio: ['ignore', discard ? 'ignore' : 'pipe', 'inherit'], env: ENVIRONMENT })
  const printed = child.stdout === null ? Promise.resolve('') : text(child.stdout)
  const [status] = await once(child, 'exit') as [number | null]
  if (status !== 0) throw new Error(`${args.join(' ')} ended with status ${status}`)
  return await printed
}

/** A process that runs until it is disposed, and the first line that it printed. */
export interface Running<T> extends AsyncDisposable {
  readonly ready: T
  readonly process: ChildProcess
}

/** Starts node with these arguments and waits for a line of JSON. */
export async function background<T> (args: readonly string[]): Promise<Running<T>> {
  const { ask: _, ...running } = await talking<T, never>(args)
  return running
}

/** A process that answers each line of JSON with one. */
export interface Talking<T, Request> extends Running<T> {
  ask<Answer>(request: Request): Promise<Answer>
}

/** Starts node with these arguments, waits for a line of JSON, and then lets you ask: one question at a time. */
export async function talking<T, Request> (args: readonly string[]): Promise<Talking<T, Request>> {
  const child = spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'inherit'], env: ENVIRONMENT })
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]()
  const next = async (): Promise<unknown> => {
    const { value, done } = await lines.next()
    if (done === true) throw new Error(`${args.join(' ')} ended before it answered`)
    return JSON.parse(value)
  }
  return {
    ready: await next() as T,
    process: child,
    async ask<Answer> (request: Request) {
      child.stdin.write(`${JSON.stringify(request)}\n`)
      return await next() as Answer
    },
    async [Symbol.asyncDispose] () {
      if (child.exitCode !== null || child.signalCode !== null) return
      const exited = once(child, 'exit')
      child.kill('SIGTERM')
      await exited
    }
  }
}

/** The script of `subjects/` with this name. */
export function subjectPath (name: string): string {
  return join(import.meta.dirname, 'subjects', `${name}.ts`)
}

/** What our daemon prints when it is ready. */
export interface DaemonReady {
  readonly peerId: string
  readonly swarm: readonly string[]
  readonly gateway: string
}

/** Nobody but whom the benchmark names is dialled. */
const NO_DISCOVERY = ['--bootstrap', 'none', '--mdns', 'off', '--upnp', 'off', '--relay-client', 'off', '--autonat', 'off', '--hole-punching', 'off']

/** Starts our daemon on free ports, without a network unless the flags ask for one. */
export async function daemon (repository: string, flags: readonly string[] = []): Promise<Running<DaemonReady>> {
  return await background([HOLDFAST, 'start', '--json', '--path', repository, '--gateway-port', '0', '--swarm-port', '0', '--rpc-port', '0', '--network', 'off', ...NO_DISCOVERY, ...flags])
}

/** CPU that a process used so far, in seconds, of all its threads (Linux). */
export async function cpuSecondsOf ({ process: { pid } }: Pick<Running<unknown>, 'process'>): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8')
  // The name of the program stands in brackets and may hold blanks; user and system time are fields 14 and 15.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND
}

/** CPU that the processes which this one started and which have ended used, in seconds (Linux). */
export async function endedCpuSeconds (): Promise<number> {
  const stat = await readFile('/proc/self/stat', 'utf8')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return (Number(fields[13]) + Number(fields[14])) / TICKS_PER_SECOND
}

/** Memory of a process in MiB: `VmRSS` is what it holds, `VmHWM` the most it ever held (Linux). */
export async function memoryMibOf ({ process: { pid } }: Pick<Running<unknown>, 'process'>, field: 'VmRSS' | 'VmHWM'): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8')
  return Number(new RegExp(`^${field}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1]) / 1024
}

/** Runs a command of ours and throws away what it prints. */
export async function holdfastDiscarding (args: readonly string[]): Promise<void> {
  await output([HOLDFAST, ...args], { discard: true })
}
