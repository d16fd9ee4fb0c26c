import type { Scrub, ScrubStatus } from '@holdfast/api'
import type { PackBlockstore } from '@holdfast/blockstore/pack'
import { isHoldfastError, type Logger, replaceFile } from '@holdfast/core'
import { readFile } from 'node:fs/promises'
import * as v from 'valibot'

/** Bytes that a scrub reads a second unless told otherwise: 14 TB within the 21 days that a round may take. */
export const DEFAULT_SCRUB_BYTES_PER_SECOND: number = 8 * 1024 * 1024

/** Longest file that is read, in bytes. */
const MAX_FILE_BYTES = 4096

const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0))

const SCHEMA = v.strictObject({
  version: v.literal(1),
  state: v.picklist(['idle', 'running', 'paused']),
  bytesPerSecond: v.pipe(v.number(), v.safeInteger(), v.minValue(1)),
  /** The pack to go on with. */
  nextPack: count,
  byteLength: count,
  damagedCount: count,
  startedMs: v.optional(count),
  finishedMs: v.optional(count)
})

type State = v.InferOutput<typeof SCHEMA>

const NEW_STATE: State = { version: 1, state: 'idle', bytesPerSecond: DEFAULT_SCRUB_BYTES_PER_SECOND, nextPack: 1, byteLength: 0, damagedCount: 0 }

export interface ScrubberParts {
  readonly store: Pick<PackBlockstore, 'verify' | 'stats'>
  /** The file that says how far the round is: a restart goes on at the pack that it was at. */
  readonly path: string
  readonly log: Logger
}

/** Opens the scrub of a store; a round that was running goes on. */
export async function openScrubber (parts: ScrubberParts): Promise<Scrub & AsyncDisposable> {
  const scrubber = new Scrubber(parts, await readState(parts))
  scrubber.resume()
  return scrubber
}

class Scrubber implements Scrub, AsyncDisposable {
  readonly #parts: ScrubberParts
  #state: State
  #stopping = new AbortController()
  #running: Promise<void> = Promise.resolve()
  #writing: Promise<void> = Promise.resolve()
  /** Starts and pauses take turns. */
  #turn: Promise<unknown> = Promise.resolve()

  constructor (parts: ScrubberParts, state: State) {
    this.#parts = parts
    this.#state = state
  }

  status (): ScrubStatus {
    const { state, bytesPerSecond, byteLength, damagedCount, startedMs, finishedMs } = this.#state
    return { state, bytesPerSecond, byteLength, damagedCount, startedMs, finishedMs, totalByteLength: this.#parts.store.stats().liveBytes }
  }

  async start ({ bytesPerSecond = this.#state.bytesPerSecond }: { readonly bytesPerSecond?: number | undefined }): Promise<ScrubStatus> {
    return await this.#inTurn(async () => {
      await this.#stop()
      const round = this.#state.state === 'idle' ? { nextPack: 1, byteLength: 0, damagedCount: 0, startedMs: Date.now() } : {}
      await this.#become({ ...round, state: 'running', bytesPerSecond })
      this.resume()
    })
  }

  async pause (): Promise<ScrubStatus> {
    return await this.#inTurn(async () => {
      await this.#stop()
      if (this.#state.state === 'running') await this.#become({ state: 'paused' })
    })
  }

  /** Goes on with the round that is running. */
  resume (): void {
    if (this.#state.state !== 'running') return
    this.#stopping = new AbortController()
    this.#running = this.#scrub(this.#stopping.signal)
  }

  async [Symbol.asyncDispose] (): Promise<void> {
    await this.#turn
    await this.#stop()
  }

  async #inTurn (step: () => Promise<void>): Promise<ScrubStatus> {
    const turn = this.#turn.then(step)
    this.#turn = turn.catch(() => {})
    await turn
    return this.status()
  }

  async #stop (): Promise<void> {
    this.#stopping.abort(new Error('The scrub is stopped'))
    await this.#running
  }

  async #scrub (signal: AbortSignal): Promise<void> {
    const { store, log } = this.#parts
    const { bytesPerSecond, nextPack: fromPack, byteLength, damagedCount } = this.#state
    try {
      const writes: Array<Promise<void>> = []
      const report = await store.verify({
        bytesPerSecond,
        fromPack,
        signal,
        onProgress: ({ nextPack, bytesRead, damaged }) => { writes.push(this.#become({ nextPack, byteLength: byteLength + bytesRead, damagedCount: damagedCount + damaged.length })) }
      })
      await Promise.all(writes)
      await this.#become({ state: 'idle', finishedMs: Date.now() })
      log.info('Scrub has read everything', { byteLength: this.#state.byteLength, damagedCount: damagedCount + report.damaged.length })
    } catch (err) {
      if (signal.aborted) return
      log.error('Scrub has failed, and is paused', { err, code: isHoldfastError(err) ? err.code : undefined })
      await this.#become({ state: 'paused' })
    }
  }

  /** What is written is only how far it was: a write that fails costs a repetition. */
  async #become (changes: Partial<State>): Promise<void> {
    this.#state = { ...this.#state, ...changes }
    const text = `${JSON.stringify(this.#state)}\n`
    this.#writing = this.#writing.then(async () => { await replaceFile(this.#parts.path, text) }).catch((err: unknown) => {
      this.#parts.log.warn('State of the scrub could not be written', { err })
    })
    await this.#writing
  }
}

async function readState ({ path, log }: ScrubberParts): Promise<State> {
  try {
    const bytes = await readFile(path)
    if (bytes.byteLength <= MAX_FILE_BYTES) return v.parse(SCHEMA, JSON.parse(bytes.toString()))
    log.warn('State of the scrub is no such file, and is made anew', { path })
  } catch (err) {
    if (!(err instanceof Error && 'code' in err && err.code === 'ENOENT')) log.warn('State of the scrub could not be read, and is made anew', { path, err })
  }
  return NEW_STATE
}
