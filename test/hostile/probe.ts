/**
 * Runs inside the daemon under test, loaded before it by `--import`, and tells how long its event loop was held up.
 *
 * A timer ticks every `TICK_MS`. A tick that comes late means that something ran in between; on a busy machine it may as well have
 * been another program. What counts against the daemon is therefore the part of the delay in which its main thread really used a
 * processor: the smaller one of the delay and of the thread's processor time between the two ticks.
 *
 * Whoever connects to the socket `HOLDFAST_PROBE` gets one line of JSON, and the figures begin anew.
 */
import { createServer } from 'node:net'
import { isMainThread } from 'node:worker_threads'

/** What the probe answers. */
export interface Stall {
  /** The longest stall that the daemon's own work made, in milliseconds. */
  readonly ownMs: number
  /** The latest tick, whoever was to blame, in milliseconds. */
  readonly wallMs: number
}

const TICK_MS = 10

const path = process.env['HOLDFAST_PROBE']
if (path !== undefined && isMainThread) watch(path)

function watch (path: string): void {
  let stall: Stall = { ownMs: 0, wallMs: 0 }
  let tickMs = performance.now()
  let usedMs = threadMs()
  const tick = (): void => {
    const nowMs = performance.now()
    const nowUsedMs = threadMs()
    const lateMs = nowMs - tickMs - TICK_MS
    stall = { ownMs: Math.max(stall.ownMs, Math.min(lateMs, nowUsedMs - usedMs)), wallMs: Math.max(stall.wallMs, lateMs) }
    tickMs = nowMs
    usedMs = nowUsedMs
  }
  setInterval(tick, TICK_MS).unref()
  createServer((socket) => {
    // The stall that is just over counts, too.
    tick()
    socket.on('error', () => {}).end(`${JSON.stringify(stall)}\n`)
    stall = { ownMs: 0, wallMs: 0 }
  }).listen(path).unref()
}

function threadMs (): number {
  const { user, system } = process.threadCpuUsage()
  return (user + system) / 1000
}
