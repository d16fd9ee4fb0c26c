import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises'

/** Others had something to do when their turn took more of the processor, in milliseconds: an idle one takes a twentieth of that. */
const BUSY_TURN_MS = 0.2

/** How long a busy turn is remembered, in milliseconds: who waits for a disk comes back after that at the latest. */
const BUSY_MEMORY_MS = 100

/** Share of the time that this work takes while others have enough to do. */
const SHARE = 0.25

/** Longest rest, in milliseconds. */
const MAX_REST_MS = 50

/**
 * Turns of work that gives way: beside others it works in short steps and takes a quarter of the time, alone it takes all of it.
 *
 * What decides is how much of the processor this thread uses when the others have their turn: the time would also count other processes.
 */
export class BackgroundTurns {
  #beginMs = cpuMs()
  #busyMs = -Infinity
  /** Busy turns in a row. */
  #busyTurns = 0

  /** Whether others had something to do a moment ago: then steps should be short. */
  get isBusy (): boolean {
    return performance.now() - this.#busyMs < BUSY_MEMORY_MS
  }

  /** Resolves when it is this work's turn again. */
  async next (): Promise<void> {
    const endMs = cpuMs()
    await nextTurn()
    const othersMs = cpuMs() - endMs
    this.#busyTurns = othersMs > BUSY_TURN_MS ? this.#busyTurns + 1 : 0
    if (this.#busyTurns > 0) this.#busyMs = performance.now()
    // One alone may be the garbage collector of V8, or what this work itself left to do.
    if (this.#busyTurns > 1) {
      const restMs = (endMs - this.#beginMs) * (1 / SHARE - 1) - othersMs
      if (restMs > 1) await sleep(Math.min(restMs, MAX_REST_MS))
    }
    this.#beginMs = cpuMs()
  }
}

/** What this thread has used of the processor. */
function cpuMs (): number {
  const { user, system } = process.threadCpuUsage()
  return (user + system) / 1000
}
