/**
 * How fast a peer is, and so how much to ask of it at once.
 *
 * Round-trip time and its variation as TCP measures them (RFC 6298), from answers to wants that found the peer
 * idle; the rate from bytes over the time in which they could come: not before a round trip after the peer was idle.
 */

/** Asked of a peer at once whatever its distance, in bytes: messages and buffers at both ends hold that much (bench/fetch.ts: less costs rate, more gains none). */
export const MIN_WINDOW_BYTES: number = 4 * 1024 * 1024

/** Most that is asked of a peer at once, in bytes: 16 MiB fill a yamux stream at any distance, and servers queue some. */
export const MAX_WINDOW_BYTES: number = 64 * 1024 * 1024

/** How long a peer that was never measured may take, in milliseconds (boxo: DontHaveTimeout). */
const FIRST_TIMEOUT_MS = 5_000

const MIN_TIMEOUT_MS = 1_000
const MAX_TIMEOUT_MS = 30_000

/** Time over which one sample of the rate is taken, in milliseconds; shorter ones measure how messages are cut. */
const RATE_SAMPLE_MS = 20

/** Bytes below which a sample says more about delays than about the rate, unless it took `LONG_SAMPLE_MS`. */
const RATE_SAMPLE_BYTES: number = 64 * 1024
const LONG_SAMPLE_MS = 1_000

/** What a peer that was never measured is taken for. */
const FIRST_RATE: number = 4 * 1024 * 1024
const FIRST_RTT_MS = 50

export class PeerMeter {
  #bytesPerMs = 0
  #minRttMs = Infinity
  #srttMs = 0
  #rttVarMs = 0
  #busyFromMs = 0
  #countedUntilMs = 0
  #sampleMs = 0
  #sampleBytes = 0

  /** Something is asked of a peer that owed nothing. */
  busyFrom (nowMs: number): void {
    this.#busyFromMs = nowMs
  }

  /** A want that found the peer idle was answered. */
  addRoundTrip (rttMs: number): void {
    this.#minRttMs = Math.min(this.#minRttMs, rttMs)
    if (this.#srttMs === 0) {
      this.#srttMs = rttMs
      this.#rttVarMs = rttMs / 2
    } else {
      this.#rttVarMs = 0.75 * this.#rttVarMs + 0.25 * Math.abs(this.#srttMs - rttMs)
      this.#srttMs = 0.875 * this.#srttMs + 0.125 * rttMs
    }
  }

  addBytes (byteLength: number, nowMs: number): void {
    const firstDueMs = this.#busyFromMs + (this.#minRttMs === Infinity ? 0 : this.#minRttMs)
    this.#sampleMs += Math.max(nowMs - Math.max(this.#countedUntilMs, firstDueMs), 0)
    this.#sampleBytes += byteLength
    this.#countedUntilMs = nowMs
    if (this.#sampleMs < RATE_SAMPLE_MS || this.#sampleBytes < RATE_SAMPLE_BYTES && this.#sampleMs < LONG_SAMPLE_MS) return
    const sample = this.#sampleBytes / this.#sampleMs
    this.#bytesPerMs = this.#bytesPerMs === 0 ? sample : 0.7 * this.#bytesPerMs + 0.3 * sample
    this.#sampleMs = 0
    this.#sampleBytes = 0
  }

  /** Something it owed did not come in time. */
  addTimeout (): void {
    this.#bytesPerMs = this.#bytesPerMs / 2
  }

  get bytesPerSecond (): number {
    return this.#bytesPerMs * 1000
  }

  get rttMs (): number {
    return this.#srttMs
  }

  /**
   * Bytes that may be asked for at once: twice what is under way in one round trip, so that the rate can show itself, and
   * what waits in messages and buffers at both ends whatever the distance.
   */
  get windowBytes (): number {
    if (this.#minRttMs === Infinity) return MIN_WINDOW_BYTES
    return Math.min(MIN_WINDOW_BYTES + 2 * this.#bytesPerMs * this.#minRttMs, MAX_WINDOW_BYTES)
  }

  /** When `byteLength` bytes more than `queuedBytes` are expected here, in milliseconds from now. */
  expectedMs (queuedBytes: number, byteLength: number): number {
    return (this.#srttMs === 0 ? FIRST_RTT_MS : this.#srttMs) + (queuedBytes + byteLength) / this.#assumedBytesPerMs
  }

  /** How long an answer may take behind `queuedBytes`, in milliseconds. */
  timeoutMs (queuedBytes: number): number {
    const base = this.#srttMs === 0 ? FIRST_TIMEOUT_MS : this.#srttMs + 4 * this.#rttVarMs
    return Math.min(Math.max(base + 2 * queuedBytes / this.#assumedBytesPerMs, MIN_TIMEOUT_MS), MAX_TIMEOUT_MS)
  }

  get #assumedBytesPerMs (): number {
    return this.#bytesPerMs === 0 ? FIRST_RATE / 1000 : this.#bytesPerMs
  }
}
