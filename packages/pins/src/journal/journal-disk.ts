import { HoldfastError, type Logger } from '@holdfast/core'
import { join } from 'node:path'
import { exhaustionOf, type JournalFs } from './journal-fs.ts'

/**
 * The folder of a journal, and whether it can still be trusted.
 *
 * After a failed sync the kernel may have dropped the bytes and call the next sync a success, so one failure is final:
 * nothing is written any more, and whoever opens the journal anew reads what really is on the disk.
 *
 * @see Rebello et al., "Can Applications Recover from fsync Failures?", USENIX ATC 2020
 */
export class JournalDisk {
  readonly fs: JournalFs
  readonly folder: string
  readonly log: Logger
  #failure: HoldfastError | undefined
  #onFatal: ((reason: HoldfastError) => void) | undefined

  constructor (fs: JournalFs, folder: string, log: Logger) {
    this.fs = fs
    this.folder = folder
    this.log = log
  }

  pathOf (name: string): string {
    return join(this.folder, name)
  }

  /** Has `onFatal` called when the disk fails from now on. */
  watch (onFatal: ((reason: HoldfastError) => void) | undefined): void {
    this.#onFatal = onFatal
  }

  get failed (): boolean {
    return this.#failure !== undefined
  }

  /** @throws `UNAVAILABLE` once the disk has failed. */
  requireSound (): void {
    if (this.#failure !== undefined) throw this.#failure
  }

  /**
   * Runs a step that may be refused for want of space or files, and only then be tried again.
   *
   * @throws `LIMIT` when something has run out; `UNAVAILABLE`, from now on for ever, for any other failure.
   */
  async attempt<T> (what: string, name: string, step: () => Promise<T>): Promise<T> {
    try {
      return await step()
    } catch (cause) {
      const exhaustion = exhaustionOf(cause)
      if (exhaustion === undefined) throw this.#fail(what, name, cause)
      throw new HoldfastError('LIMIT', `Could not ${what} ${this.pathOf(name)}: ${exhaustion}`, { cause, path: this.pathOf(name) })
    }
  }

  /** Runs a step whose failure leaves unknown what is on the disk. @throws `UNAVAILABLE`, from now on for ever. */
  async durably<T> (what: string, name: string, step: () => Promise<T>): Promise<T> {
    try {
      return await step()
    } catch (cause) {
      throw this.#fail(what, name, cause)
    }
  }

  #fail (what: string, name: string, cause: unknown): HoldfastError {
    if (this.#failure !== undefined) return this.#failure
    const path = this.pathOf(name)
    this.#failure = new HoldfastError('UNAVAILABLE', `Journal is read-only since the disk failed: could not ${what} ${path}; check the disk, then restart`, { cause, path })
    this.log.error('Journal turned read-only', { path, err: this.#failure })
    this.#onFatal?.(this.#failure)
    return this.#failure
  }
}
