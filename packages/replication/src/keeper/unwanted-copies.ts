import type { Logger } from '@holdfast/core'
import type { PinSet } from '@holdfast/pins'
import { cidOfPinKey, modeOfPinKey, type PinKey } from '../map/stored-record.ts'
import type { FetchQueue } from './fetch-queue.ts'
import type { OwnCopies } from './own-copies.ts'

export interface UnwantedCopiesDeps {
  readonly pins: PinSet
  readonly copies: Pick<OwnCopies, 'drop' | 'retries'>
  readonly queue: FetchQueue
  readonly log: Logger
  /** Whether a pin wants it, as is known now. */
  readonly isWanted: (pinKey: PinKey) => boolean
  /** Told when a drop has ended: it may be wanted again by now, and when it failed, it is to be tried again. */
  readonly onEnded: (pinKey: PinKey, isDone: boolean) => void
}

/** Drops copies that no pin wants any more. */
export class UnwantedCopies implements AsyncDisposable {
  readonly #deps: UnwantedCopiesDeps
  readonly #dropping = new Map<PinKey, Promise<void>>()

  constructor (deps: UnwantedCopiesDeps) {
    this.#deps = deps
  }

  isDropping (pinKey: PinKey): boolean {
    return this.#dropping.has(pinKey)
  }

  /** Ends what is under way for a content, and drops the copy when there is one. */
  drop (pinKey: PinKey): void {
    const { pins, copies, queue, log, onEnded } = this.#deps
    queue.cancel(pinKey, new Error('The pin is gone'))
    copies.retries.forget(pinKey)
    const isPinned = pins.list({ cid: cidOfPinKey(pinKey), kind: modeOfPinKey(pinKey), owner: 'cluster' })[Symbol.iterator]().next().done !== true
    if (!isPinned && !queue.isRunning(pinKey)) return
    const dropping = this.#drop(pinKey)
      .catch((err: unknown) => {
        log.warn('A copy that no pin wants was not dropped, and is tried again', { pinKey, err })
        return false
      })
      .then((isDone) => {
        this.#dropping.delete(pinKey)
        onEnded(pinKey, isDone)
      })
    this.#dropping.set(pinKey, dropping)
  }

  /** Resolves when what is being dropped is dropped. */
  async ended (): Promise<void> {
    await Promise.allSettled(this.#dropping.values())
  }

  async [Symbol.asyncDispose] (): Promise<void> {
    await this.ended()
  }

  async #drop (pinKey: PinKey): Promise<boolean> {
    await this.#deps.queue.ended(pinKey)
    if (!this.#deps.isWanted(pinKey)) await this.#deps.copies.drop(pinKey)
    return true
  }
}
