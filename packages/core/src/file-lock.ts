import { randomUUID } from 'node:crypto'
import { link, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import { basename, dirname } from 'node:path'
import { HoldfastError } from './errors.ts'
import { isAlive, ownMark, type ProcessMark } from './process-mark.ts'
import { scratchPathOf, sweepScratch } from './scratch-file.ts'

/** Who holds a lock, as its file says in JSON. */
export interface LockHolder extends ProcessMark {
  readonly token: string
}

/** Times that a stale lock is taken over before we give up: more means that others do the same. */
const MAX_TAKEOVERS = 3

/** How long another process may take between reading a stale lock and moving it away, in milliseconds. */
const SETTLE_MS = 30

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
  const mine: LockHolder = { ...await ownMark(), token: randomUUID() }
  for (let takeovers = 0; takeovers <= MAX_TAKEOVERS; takeovers++) {
    if (await create(path, mine)) {
      await sweepScratch(dirname(path), basename(path))
      return { [Symbol.asyncDispose]: () => release(path, mine) }
    }
    const holder = await readHolder(path)
    if (holder !== undefined && await isAlive(holder)) throw held(path, holder, describe)
    await moveAway(path, holder)
  }
  throw new HoldfastError('UNAVAILABLE', `Could not lock ${path}: other processes take it at the same time. Try again`, { path })
}

async function create (path: string, mine: LockHolder): Promise<boolean> {
  const temporary = await scratchPathOf(path)
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
async function moveAway (path: string, judged: LockHolder | undefined): Promise<void> {
  const aside = await scratchPathOf(path, 'stale')
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

function held (path: string, holder: LockHolder, describe: (holder: LockHolder) => string): HoldfastError {
  const { pid, host } = holder
  return host === hostname()
    ? new HoldfastError('UNAVAILABLE', describe(holder), { path, pid })
    : new HoldfastError('UNAVAILABLE', `${path} is held by process ${pid} on the machine ${host}. If that is no longer so, remove the file`, { path, pid, host })
}

function errnoOf (cause: unknown): unknown {
  return cause instanceof Error && 'code' in cause ? cause.code : undefined
}
