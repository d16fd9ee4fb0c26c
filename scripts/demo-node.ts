import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { promisify } from 'node:util'
import { ROOT } from './run.ts'

const HOLDFAST = join(ROOT, 'apps/node/bin/holdfast.cjs')

/** Most that a command of the demo may print, in bytes. */
const MAX_OUTPUT_BYTES: number = 16 * 1024 * 1024

/** Lines of a node's log that a failure shows. */
const LOG_LINES = 20

/**
 * Flags of nodes that look for nobody outside, and give up on a member after seconds: three heartbeats that are missed and as much again.
 */
const FLAGS: readonly string[] = ['--mdns', 'off', '--gateway-port', '0', '--swarm-port', '0', '--rpc-port', '0', '--repair-grace', '4s', '--log-level', 'warn']

/** A node in a process of its own. */
export interface DemoNode extends AsyncDisposable {
  readonly name: string
  readonly peer: string
  readonly gateway: string
  /** Where nodes on this machine reach it. */
  readonly address: string
  /** Runs a command and returns what it printed. @throws with what it said when its status is not 0 */
  run(args: readonly string[]): Promise<string>
  /** Ends it as a power cut would. */
  kill(): Promise<void>
}

export interface DemoNodeOptions {
  readonly name: string
  /** Where its repository goes. */
  readonly folder: string
  /** Addresses that it dials; nobody by default. */
  readonly bootstrap?: readonly string[]
  readonly signal: AbortSignal
}

/** Starts a node and waits until it is ready. */
export async function startDemoNode ({ name, folder, bootstrap = [], signal }: DemoNodeOptions): Promise<DemoNode> {
  signal.throwIfAborted()
  const repository = join(folder, name)
  const child = spawn(process.execPath, [HOLDFAST, 'start', '--network', 'lan', '--json', '--path', repository, '--member-name', name, '--zone', name, '--bootstrap', bootstrap.join(',') || 'none', ...FLAGS], { stdio: ['ignore', 'pipe', 'pipe'] })
  const log: string[] = []
  createInterface({ input: child.stderr }).on('line', (line) => { log.splice(0, log.length - LOG_LINES, line) })
  const exited = once(child, 'exit')
  const end = async (how: NodeJS.Signals): Promise<void> => {
    if (child.exitCode === null && child.signalCode === null) child.kill(how)
    await exited
  }
  try {
    const { peerId, gateway, swarm } = await readyLine(child, signal)
    const address = swarm.find((each) => each.includes('/ip4/127.0.0.1/')) ?? ''
    return {
      name,
      peer: peerId,
      gateway,
      address,
      run: async (args) => (await promisify(execFile)(process.execPath, [HOLDFAST, '--path', repository, ...args], { signal, maxBuffer: MAX_OUTPUT_BYTES })).stdout.trimEnd(),
      kill: async () => { await end('SIGKILL') },
      [Symbol.asyncDispose]: async () => { await end('SIGTERM') }
    }
  } catch (cause) {
    await end('SIGKILL')
    throw new Error(`The node ${name} did not start${log.length === 0 ? '' : `:\n${log.join('\n')}`}`, { cause })
  }
}

interface Ready {
  readonly peerId: string
  readonly gateway: string
  readonly swarm: readonly string[]
}

async function readyLine (child: ChildProcess, signal: AbortSignal): Promise<Ready> {
  if (child.stdout === null) throw new Error('The node has no standard output')
  for await (const line of createInterface({ input: child.stdout, signal })) {
    const ready: unknown = JSON.parse(line)
    if (isReady(ready)) return ready
  }
  signal.throwIfAborted()
  throw new Error('It ended before it was ready')
}

function isReady (value: unknown): value is Ready {
  return typeof value === 'object' && value !== null && 'peerId' in value && 'gateway' in value && 'swarm' in value && Array.isArray(value.swarm)
}
