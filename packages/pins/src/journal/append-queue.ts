import { HoldfastError } from '@holdfast/core'
import { MAX_FRAME_PAYLOAD_BYTES } from './segment-format.ts'
import type { FrameDraft } from './segment-writer.ts'

/** Most bytes of records that wait to be written; beyond that callers are refused, so a stuck disk fills no memory. */
export const MAX_QUEUED_BYTES: number = 4 * MAX_FRAME_PAYLOAD_BYTES

/** Most bytes written with one sync, unless a single frame has more. */
const MAX_GROUP_BYTES = MAX_FRAME_PAYLOAD_BYTES

interface Waiting {
  readonly frame: FrameDraft
  readonly written: PromiseWithResolvers<void>
}

/** Frames that go to the disk together. */
interface Group {
  readonly frames: readonly FrameDraft[]
  failed: boolean
}

/**
 * Hands frames to one writer, in the order of the calls, as many at once as wait.
 *
 * The first call of a quiet moment is written at once; those that come while the disk works share the next write.
 */
export class AppendQueue {
  readonly #write: (frames: readonly FrameDraft[]) => Promise<void>
  readonly #interruptions: Array<() => Promise<void>> = []
  #waiting: Waiting[] = []
  #byteLength = 0
  #working: Promise<void> | undefined
  /** Being written, or so lately written that the callers have not acted on it. */
  readonly #unsettled = new Set<Group>()

  /** @param write Never called twice at a time. What it throws is what each of the calls rejects with. */
  constructor (write: (frames: readonly FrameDraft[]) => Promise<void>) {
    this.#write = write
  }

  /** Resolves when the frame was written. @throws `LIMIT` when too many bytes wait. */
  async append (frame: FrameDraft): Promise<void> {
    if (this.#byteLength + frame.payload.byteLength > MAX_QUEUED_BYTES) {
      throw new HoldfastError('LIMIT', `More than ${MAX_QUEUED_BYTES} bytes of journal records wait for the disk; try again later`, { byteLength: this.#byteLength })
    }
    this.#byteLength += frame.payload.byteLength
    const written = Promise.withResolvers<void>()
    this.#waiting.push({ frame, written })
    this.#wake()
    await written.promise
  }

  /**
   * Runs `task` before all frames that wait, in the order of the calls to this method.
   *
   * It is given the frames that went to the disk already, but whose callers did not know so when this was called.
   */
  async interrupt<T> (task: (unsettled: readonly FrameDraft[]) => Promise<T>): Promise<T> {
    const groups = [...this.#unsettled]
    const done = Promise.withResolvers<T>()
    this.#interruptions.push(async () => {
      const frames = groups.filter(({ failed }) => !failed).flatMap(({ frames }) => frames)
      await task(frames).then(done.resolve, done.reject)
    })
    this.#wake()
    return await done.promise
  }

  /** Resolves when nothing waits any more. */
  async idle (): Promise<void> {
    while (this.#working !== undefined) await this.#working
  }

  #wake (): void {
    this.#working ??= this.#work()
  }

  async #work (): Promise<void> {
    // Calls made in the same turn of the event loop go together.
    await Promise.resolve()
    for (;;) {
      const interruption = this.#interruptions.shift()
      if (interruption !== undefined) await interruption()
      else if (this.#waiting.length > 0) await this.#writeGroup(this.#takeGroup())
      else break
    }
    // In the same turn in which nothing was found to wait: who comes next wakes it again.
    this.#working = undefined
  }

  #takeGroup (): Waiting[] {
    let byteLength = 0
    const end = this.#waiting.findIndex(({ frame }, index) => {
      byteLength += frame.payload.byteLength
      return index > 0 && byteLength > MAX_GROUP_BYTES
    })
    const group = this.#waiting.slice(0, end === -1 ? undefined : end)
    this.#waiting = this.#waiting.slice(group.length)
    return group
  }

  async #writeGroup (waiting: readonly Waiting[]): Promise<void> {
    const group = { frames: waiting.map(({ frame }) => frame), failed: false }
    this.#unsettled.add(group)
    try {
      await this.#write(group.frames)
      for (const { written } of waiting) written.resolve()
    } catch (err) {
      group.failed = true
      for (const { written } of waiting) written.reject(err)
    } finally {
      for (const { payload } of group.frames) this.#byteLength -= payload.byteLength
      // By the next turn of the event loop every caller has seen its promise settle.
      setImmediate(() => { this.#unsettled.delete(group) })
    }
  }
}
