import { formatBytes, formatSeconds } from './format.ts'

/** Work done so far; what is left out is not shown. */
export interface ProgressState {
  readonly byteLength?: number | undefined
  readonly totalByteLength?: number | undefined
  readonly blockCount?: number | undefined
  readonly fileCount?: number | undefined
  readonly phase?: string | undefined
  /** Peers that take part: then the state is about what was fetched from them, and told beside the work itself. */
  readonly peerCount?: number | undefined
}

/** One line on the terminal that shows how far some work is. */
export interface ProgressLine extends Disposable {
  update(state: ProgressState): void
  /** Runs `print` with the line out of the way. */
  aside(print: () => void): void
}

/** Shows nothing: where nobody watches. */
export const noProgress: ProgressLine = {
  update () {},
  aside (print) { print() },
  [Symbol.dispose] () {}
}

interface Bar {
  start(total: number, value: number, payload: object): void
  update(value: number, payload: object): void
  setTotal(total: number): void
  stop(): void
}

/** How long work must take before a line about it is worth the flicker. */
const QUIET_MS = 300

/** How long nothing may have been fetched before the line is about the work itself again. */
const FETCH_SHOWN_MS = 2_000

/**
 * Shows progress on a terminal: a bar with rate and time left when the total is known, counts and
 * rate when it is not. While something is fetched from peers, the line is about that.
 *
 * The library is loaded only once the work has lasted `QUIET_MS`.
 */
export function terminalProgress (label: string, stream: NodeJS.WriteStream): ProgressLine {
  const startedMs = performance.now()
  let bar: Bar | undefined
  let isLoading = false
  let isClosed = false
  let last: ProgressState = {}
  const fetching = new FetchLine(startedMs)
  const line = (fraction: number): string => fetching.words(last) ?? lineOf(label, last, fraction, startedMs)

  const open = async (): Promise<void> => {
    isLoading = true
    const { default: { SingleBar } } = await import('cli-progress')
    if (isClosed) return
    bar = new SingleBar({
      stream,
      format: (_options, { progress }) => line(progress),
      clearOnComplete: true,
      hideCursor: true,
      fps: 10
    })
    bar.start(last.totalByteLength ?? 0, last.byteLength ?? 0, {})
  }

  return {
    update (state) {
      if (state.peerCount === undefined) last = { ...last, ...state }
      else fetching.update(state)
      if (bar !== undefined) {
        if (last.totalByteLength !== undefined) bar.setTotal(last.totalByteLength)
        bar.update(last.byteLength ?? 0, {})
      } else if (!isLoading && performance.now() - startedMs > QUIET_MS) {
        // Without its library the work goes on unseen.
        open().catch(() => {})
      }
    },
    aside (print) {
      if (bar === undefined) return print()
      stream.write('\r\x1b[K')
      print()
    },
    [Symbol.dispose] () {
      isClosed = true
      bar?.stop()
    }
  }
}

/** Time over which the rate of a fetch is taken: it follows what a person sees, and does not jump. */
const RATE_WINDOW_MS = 3_000

/** The line about what comes from peers: `fetching  412 blocks  103 MiB  48 MiB/s  3 peers`. */
export class FetchLine {
  readonly #samples: Array<{ readonly atMs: number, readonly byteLength: number }> = []
  #state: ProgressState | undefined

  constructor (startedMs: number) {
    this.#samples.push({ atMs: startedMs, byteLength: 0 })
  }

  update (state: ProgressState, nowMs: number = performance.now()): void {
    const { byteLength = 0 } = state
    // The next path of the same command counts from the beginning.
    if (byteLength < (this.#state?.byteLength ?? 0)) this.#samples.splice(0, Infinity, { atMs: nowMs, byteLength: 0 })
    this.#state = state
    this.#samples.push({ atMs: nowMs, byteLength })
    const outdated = this.#samples.findLastIndex(({ atMs }) => nowMs - atMs > RATE_WINDOW_MS)
    if (outdated > 0) this.#samples.splice(0, outdated)
  }

  /** Answers `undefined` when nothing was fetched lately. */
  words ({ byteLength, totalByteLength = 0 }: ProgressState = {}, nowMs: number = performance.now()): string | undefined {
    const first = this.#samples[0]
    const latest = this.#samples.at(-1)
    if (this.#state === undefined || first === undefined || latest === undefined || nowMs - latest.atMs > FETCH_SHOWN_MS) return undefined
    const { blockCount = 0, peerCount = 0 } = this.#state
    const rate = (latest.byteLength - first.byteLength) / Math.max((nowMs - first.atMs) / 1000, 0.001)
    const parts = ['fetching', counted(blockCount, 'block'), formatBytes(latest.byteLength), `${formatBytes(rate)}/s`, counted(peerCount, 'peer')]
    if (byteLength !== undefined && totalByteLength > 0) parts.push(`${Math.floor(Math.min(byteLength / totalByteLength, 1) * 100)} % read`)
    return parts.join('  ')
  }
}

function counted (count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`
}

const BAR_CHARACTERS = 24

/** Words of one progress line; exported for its test. */
export function lineOf (label: string, state: ProgressState, fraction: number, startedMs: number, nowMs: number = performance.now()): string {
  const { byteLength = 0, totalByteLength, blockCount, fileCount, phase } = state
  const seconds = Math.max((nowMs - startedMs) / 1000, 0.001)
  const rate = byteLength / seconds
  const parts = [phase === undefined ? label : `${label} (${phase})`]
  if (totalByteLength !== undefined && totalByteLength > 0) {
    const filled = Math.round(Math.min(fraction, 1) * BAR_CHARACTERS)
    parts.push(`${'█'.repeat(filled)}${'░'.repeat(BAR_CHARACTERS - filled)} ${Math.floor(Math.min(fraction, 1) * 100)} %`)
  }
  if (fileCount !== undefined) parts.push(`${fileCount} files`)
  if (blockCount !== undefined) parts.push(`${blockCount} blocks`)
  if (byteLength > 0) parts.push(formatBytes(byteLength), `${formatBytes(rate)}/s`)
  if (totalByteLength !== undefined && rate > 0) parts.push(`${formatSeconds((totalByteLength - byteLength) / rate)} left`)
  return parts.join('  ')
}
