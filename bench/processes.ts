import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'

const HOLDFAST = join(import.meta.dirname, '../apps/node/bin/holdfast.cjs')

/** Runs a script of `subjects/` to its end and reads the JSON that it prints. */
export async function subject<T> (name: string, args: readonly string[]): Promise<T> {
  return JSON.parse(await output([join(import.meta.dirname, 'subjects', `${name}.ts`), ...args])) as T
}

/** Runs a command line of ours to its end and returns what it printed. */
export async function holdfast (args: readonly string[]): Promise<string> {
  return (await output([HOLDFAST, ...args])).trim()
}

/** Runs node with these arguments; its output is thrown away when it goes to a file or nowhere. */
export async function output (args: readonly string[], { discard = false }: { discard?: boolean } = {}): Promise<string> {
  const child = spawn(process.execPath, args, { stdio: ['ignore', discard ? 'ignore' : 'pipe', 'inherit'], env: { ...process.env, UV_THREADPOOL_SIZE: '16' } })
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
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  let line = ''
  for await (const piece of child.stdout) {
    line += String(piece)
    if (line.includes('\n')) break
  }
  return {
    ready: JSON.parse(line) as T,
    process: child,
    async [Symbol.asyncDispose] () {
      const exited = once(child, 'exit')
      child.kill('SIGTERM')
      await exited
    }
  }
}

/** Starts our daemon on free ports. */
export async function daemon (repository: string): Promise<Running<{ gateway: string }>> {
  return await background([HOLDFAST, 'start', '--json', '--path', repository, '--gateway-port', '0', '--swarm-port', '0', '--rpc-port', '0', '--network', 'off'])
}

/** Runs a command of ours and throws away what it prints. */
export async function holdfastDiscarding (args: readonly string[]): Promise<void> {
  await output([HOLDFAST, ...args], { discard: true })
}
