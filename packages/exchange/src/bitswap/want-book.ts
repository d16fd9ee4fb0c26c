import { type Block, multihashKey } from '@holdfast/core'
import type { CID } from 'multiformats/cid'
import { Want, type WantObserver } from './want.ts'

/** The wants of this node that are not over: one per block, whoever asked for it. */
export class WantBook {
  readonly #wants = new Map<string, Want>()

  get count (): number {
    return this.#wants.size
  }

  /** Joins an observer to the want of a block, which is opened when nobody wanted it before. */
  open (cid: CID, expectedBytes: number, observer: WantObserver): Want {
    const key = multihashKey(cid)
    const want = this.#wants.get(key) ?? new Want(cid, expectedBytes)
    this.#wants.set(key, want)
    want.observers.add(observer)
    return want
  }

  /** @param key As `multihashKey`. */
  get (key: string): Want | undefined {
    return this.#wants.get(key)
  }

  /** Leaves a want; when nobody else has it, it is taken back from every peer. */
  release (want: Want, observer: WantObserver): void {
    want.observers.delete(observer)
    if (want.observers.size > 0 || want.hasArrived) return
    want.cancelAll()
    this.#wants.delete(want.key)
  }

  /** The block is stored. */
  finish (want: Want, block: Block): void {
    this.#wants.delete(want.key)
    for (const observer of Array.from(want.observers)) observer.onStored(want, block)
  }

  /** The block came and could not be stored. */
  fail (want: Want, reason: unknown, block: Block): void {
    this.#wants.delete(want.key)
    for (const observer of Array.from(want.observers)) observer.onFailed(want, reason, block)
  }
}
