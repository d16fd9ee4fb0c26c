/**
 * Runs inside the daemon under test, loaded before it by `--import`, and tells how long its event loop was held up and what it
 * holds in memory when all garbage is gone.
 *
 * A timer ticks every `TICK_MS`. A tick that comes late means that something ran in between; on a busy machine it may as well have
 * been another program. What counts against the daemon is therefore the part of the delay in which its main thread really used a
 * processor: the smaller one of the delay and of the thread's processor time between the two ticks.
 *
 * Whoever connects to the socket `HOLDFAST_PROBE` gets one line of JSON, and the figures begin anew.
 */
import { rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { isMainThread } from 'node:worker_threads'

/** What the probe answers. */
export interface Reading {
  /** The longest stall that the daemon's own work made, in milliseconds. */
  readonly ownMs: number
  /** The latest tick, whoever was to blame, in milliseconds. */
  readonly wallMs: number
  /** Objects and buffers that are in use, in bytes. */
  readonly heldBytes: number
}

const TICK_MS = 10

const path = process.env['HOLDFAST_PROBE']
if (path !== undefined && isMainThread) watch(path)

function watch (path: string): void {
  setFlagsFromString('--expose-gc')
  const collectGarbage: () => void = runInNewContext('gc')
  let stall = { ownMs: 0, wallMs: 0 }
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
  // The launcher was watched, too, before it became the daemon.
  rmSync(path, { force: true })
  createServer((socket) => {
    // The stall that is just over counts, too.
    tick()
    const { ownMs, wallMs } = stall
    // Buffers of dead objects are given back beside the program; the second collection waits for what the first one found.
    collectGarbage()
    collectGarbage()
    const { heapUsed, external } = process.memoryUsage()
    const reading: Reading = { ownMs, wallMs, heldBytes: heapUsed + external }
    socket.on('error', () => {}).end(`${JSON.stringify(reading)}\n`)
    // Its own work does not count.
    tick()
    stall = { ownMs: 0, wallMs: 0 }
  }).listen(path).unref()
}

function threadMs (): number {
  const { user, system } = process.threadCpuUsage()
  return (user + system) / 1000
}
