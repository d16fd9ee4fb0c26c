import { formatBytes, formatSeconds } from './format.ts'

/** Work done so far; what is left out is not shown. */
export interface ProgressState {
  readonly byteLength?: number | undefined
  readonly totalByteLength?: number | undefined
  readonly blockCount?: number | undefined
  readonly fileCount?: number | undefined
  readonly phase?: string | undefined
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

/**
 * Shows progress on a terminal: a bar with rate and time left when the total is known, counts and
 * rate when it is not.
 *
 * The library is loaded only once the work has lasted `QUIET_MS`.
 */
export function terminalProgress (label: string, stream: NodeJS.WriteStream): ProgressLine {
  const startedMs = performance.now()
  let bar: Bar | undefined
  let isLoading = false
  let isClosed = false
  let last: ProgressState = {}

  const open = async (): Promise<void> => {
    isLoading = true
    const { default: { SingleBar } } = await import('cli-progress')
    if (isClosed) return
    bar = new SingleBar({
      stream,
      format: (_options, { progress }, payload: { state: ProgressState }) => lineOf(label, payload.state, progress, startedMs),
      clearOnComplete: true,
      hideCursor: true,
      fps: 10
    })
    bar.start(last.totalByteLength ?? 0, last.byteLength ?? 0, { state: last })
  }

  return {
    update (state) {
      last = { ...last, ...state }
      if (bar !== undefined) {
        if (last.totalByteLength !== undefined) bar.setTotal(last.totalByteLength)
        bar.update(last.byteLength ?? 0, { state: last })
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
