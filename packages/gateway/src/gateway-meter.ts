/** Durations as Prometheus wants them: how many were at most so long. */
export interface DurationHistogram {
  /** Upper bounds in seconds, ascending. */
  readonly boundsSeconds: readonly number[]
  /** How many fell between each bound and the one below it; one more at the end, for those above all. */
  readonly counts: readonly number[]
  readonly sumSeconds: number
}

/** What became of requests, by what was asked for. */
export interface RequestCount {
  /** `raw`, `car` and the like; `default` when no form was asked for, `none` for what was answered before that was known. */
  readonly format: string
  /** `2xx` to `5xx`; `none` when the client left before there was an answer. */
  readonly status: string
  readonly count: number
}

/** What a gateway did since it was opened. */
export interface GatewayFigures {
  readonly openCount: number
  readonly requests: readonly RequestCount[]
  /** Answers that ended before they were whole, whoever ended them. */
  readonly cutCount: number
  readonly sentByteLengthByFormat: Readonly<Record<string, number>>
  /** From the request to the end of its answer. */
  readonly durationsByFormat: Readonly<Record<string, DurationHistogram>>
  /** From the request to the headers of its answer. */
  readonly headerDurations: DurationHistogram
}

/** How one request ended. */
export interface RequestOutcome {
  readonly format: string
  /** `undefined` when no headers were sent. */
  readonly status: number | undefined
  readonly sentByteLength: number
  readonly durationMs: number
  readonly headerDurationMs: number | undefined
  readonly isWhole: boolean
}

/**
 * Upper bounds of the buckets, in seconds: a small file from memory takes half a millisecond, one from the disk a few, one that has
 * to be looked for some seconds, and what is longer than the 30 s of `retrievalTimeoutMs` is a download.
 */
const BOUNDS_SECONDS: readonly number[] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 3600]

/** Counts requests. Formats and classes of status come from short lists, so there are few counters. */
export class GatewayMeter {
  readonly #requests = new Map<string, { readonly format: string, readonly status: string, count: number }>()
  readonly #formats = new Map<string, { sentByteLength: number, readonly durations: Durations }>()
  readonly #headerDurations = new Durations()
  #openCount = 0
  #cutCount = 0

  began (): void {
    this.#openCount++
  }

  ended ({ format, status, sentByteLength, durationMs, headerDurationMs, isWhole }: RequestOutcome): void {
    this.#openCount--
    if (!isWhole) this.#cutCount++
    const statusClass = status === undefined ? 'none' : `${Math.floor(status / 100)}xx`
    const key = `${statusClass} ${format}`
    const request = this.#requests.get(key) ?? { format, status: statusClass, count: 0 }
    request.count++
    this.#requests.set(key, request)
    const byFormat = this.#formats.get(format) ?? { sentByteLength: 0, durations: new Durations() }
    byFormat.sentByteLength += sentByteLength
    byFormat.durations.add(durationMs)
    this.#formats.set(format, byFormat)
    if (headerDurationMs !== undefined) this.#headerDurations.add(headerDurationMs)
  }

  figures (): GatewayFigures {
    const formats = [...this.#formats]
    return {
      openCount: this.#openCount,
      requests: [...this.#requests.values()].map((request) => ({ ...request })),
      cutCount: this.#cutCount,
      sentByteLengthByFormat: Object.fromEntries(formats.map(([format, { sentByteLength }]) => [format, sentByteLength])),
      durationsByFormat: Object.fromEntries(formats.map(([format, { durations }]) => [format, durations.histogram()])),
      headerDurations: this.#headerDurations.histogram()
    }
  }
}

class Durations {
  readonly #counts = Array.from({ length: BOUNDS_SECONDS.length + 1 }, () => 0)
  #sumSeconds = 0

  add (durationMs: number): void {
    const seconds = durationMs / 1000
    const at = BOUNDS_SECONDS.findIndex((bound) => seconds <= bound)
    const bucket = at < 0 ? BOUNDS_SECONDS.length : at
    this.#counts[bucket] = (this.#counts[bucket] ?? 0) + 1
    this.#sumSeconds += seconds
  }

  histogram (): DurationHistogram {
    return { boundsSeconds: BOUNDS_SECONDS, counts: [...this.#counts], sumSeconds: this.#sumSeconds }
  }
}
