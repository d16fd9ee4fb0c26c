import { randomUUID } from 'node:crypto'
import { link, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { HoldfastError } from './errors.ts'

/** Who holds a lock, as its file says in JSON. */
export interface LockHolder {
  readonly pid: number
  readonly host: string
  /** Tells this process from an earlier one of the same number; empty where the system does not say. */
  readonly started: string
  readonly token: string
}

/** Times that a stale lock is taken over before we give up: more means that others do the same. */
const MAX_TAKEOVERS = 3

/** How long another process may take between reading a stale lock and moving it away, in milliseconds. */
const SETTLE_MS = 30

/** What `scratchOf` puts behind the name of the lock. */
const SCRATCH = /^(\d{1,10})-(\d*)-[0-9a-f-]{36}\.(?:tmp|stale)$/

/**
 * Makes this process the only holder of the lock at `path`, until the result is disposed or the process dies.
 *
 * Node has no file locks, so the lock is a file that names its holder: it is made by `link`, which only
 * one process can win, and a lock whose process is gone is moved away and taken over.
 *
 * @param describe What to tell who comes second, and what to do about it. The holder is a process of this machine.
 * @throws `UNAVAILABLE` naming the process that holds it.
 */
export async function lockFile (path: string, describe: (holder: LockHolder) => string): Promise<AsyncDisposable> {
  const mine: LockHolder = { pid: process.pid, host: hostname(), started: await startOf(process.pid), token: randomUUID() }
  for (let takeovers = 0; takeovers <= MAX_TAKEOVERS; takeovers++) {
    if (await create(path, mine)) {
      await sweep(path)
      return { [Symbol.asyncDispose]: () => release(path, mine) }
    }
    const holder = await readHolder(path)
    if (holder !== undefined && await isAlive(holder)) throw held(path, holder, describe)
    await moveAway(path, holder, mine)
  }
  throw new HoldfastError('UNAVAILABLE', `Could not lock ${path}: other processes take it at the same time. Try again`, { path })
}

async function create (path: string, mine: LockHolder): Promise<boolean> {
  const temporary = scratchOf(path, mine, 'tmp')
  await writeFile(temporary, JSON.stringify(mine), { mode: 0o600 })
  try {
    await link(temporary, path)
  } catch (cause) {
    // ENOENT: whoever holds the lock swept our file, as on a shared folder our process cannot be seen from elsewhere.
    if (errnoOf(cause) === 'EEXIST' || errnoOf(cause) === 'ENOENT') return false
    throw new HoldfastError('UNAVAILABLE', `Cannot write ${path}: ${String(errnoOf(cause))}`, { cause, path })
  } finally {
    await rm(temporary, { force: true })
  }
  // Whoever judged an earlier lock stale may still move ours away in its stead: look once more.
  await new Promise((resolve) => setTimeout(resolve, SETTLE_MS))
  return (await readHolder(path))?.token === mine.token
}

/** Moves a stale lock out of the way; one that changed since it was judged is put back. */
async function moveAway (path: string, judged: LockHolder | undefined, mine: LockHolder): Promise<void> {
  const aside = scratchOf(path, { ...mine, token: randomUUID() }, 'stale')
  try {
    await rename(path, aside)
    const moved = await readHolder(aside)
    if (moved?.token !== judged?.token) await link(aside, path)
  } catch (cause) {
    if (errnoOf(cause) !== 'ENOENT' && errnoOf(cause) !== 'EEXIST') throw cause
  } finally {
    await rm(aside, { force: true })
  }
}

/** A file beside the lock whose name tells by whom it is used: what is in it may be cut short. */
function scratchOf (path: string, { pid, started, token }: LockHolder, kind: 'tmp' | 'stale'): string {
  return `${path}.${pid}-${started}-${token}.${kind}`
}

/** Removes what processes left beside the lock that were killed while they took it. */
async function sweep (path: string): Promise<void> {
  const folder = dirname(path)
  const prefix = `${basename(path)}.`
  for (const name of await readdir(folder)) {
    const [, pid, started] = name.startsWith(prefix) ? SCRATCH.exec(name.slice(prefix.length)) ?? [] : []
    if (pid === undefined || started === undefined) continue
    if (!await isAlive({ pid: Number(pid), host: hostname(), started })) await rm(join(folder, name), { force: true })
  }
}

async function release (path: string, mine: LockHolder): Promise<void> {
  if ((await readHolder(path))?.token === mine.token) await rm(path, { force: true })
}

async function readHolder (path: string): Promise<LockHolder | undefined> {
  try {
    const { pid, host, started, token } = JSON.parse(await readFile(path, 'utf8')) as Partial<Record<keyof LockHolder, unknown>>
    if (typeof pid !== 'number' || !Number.isSafeInteger(pid) || pid <= 0) return undefined
    return { pid, host: String(host), started: String(started), token: String(token) }
  } catch (cause) {
    if (errnoOf(cause) === 'ENOENT' || cause instanceof SyntaxError) return undefined
    throw cause
  }
}

async function isAlive ({ pid, host, started }: Omit<LockHolder, 'token'>): Promise<boolean> {
  // The processes of another machine that shares the folder cannot be seen from here.
  if (host !== hostname()) return true
  try {
    process.kill(pid, 0)
  } catch (cause) {
    if (errnoOf(cause) === 'ESRCH') return false
  }
  return started === '' || await startOf(pid) === started
}

/** The start time of a process in clock ticks since boot, field 22 of Linux' /proc/PID/stat. */
async function startOf (pid: number): Promise<string> {
  try {
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8')
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? ''
  } catch {
    return ''
  }
}

function held (path: string, holder: LockHolder, describe: (holder: LockHolder) => string): HoldfastError {
  const { pid, host } = holder
  return host === hostname()
    ? new HoldfastError('UNAVAILABLE', describe(holder), { path, pid })
    : new HoldfastError('UNAVAILABLE', `${path} is held by process ${pid} on the machine ${host}. If that is no longer so, remove the file`, { path, pid, host })
}

function errnoOf (cause: unknown): unknown {
  return cause instanceof Error && 'code' in cause ? cause.code : undefined
}
