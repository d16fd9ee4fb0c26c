import { DiskTrust, HoldfastError, type Logger } from '@holdfast/core'
import { join } from 'node:path'
import { exhaustionOf, type JournalFs } from './journal-fs.ts'

/** The folder of a journal, and whether it can still be trusted. */
export class JournalDisk {
  readonly fs: JournalFs
  readonly folder: string
  readonly log: Logger
  readonly #trust: DiskTrust
  #onFatal: ((reason: HoldfastError) => void) | undefined

  constructor (fs: JournalFs, folder: string, log: Logger) {
    this.fs = fs
    this.folder = folder
    this.log = log
    this.#trust = new DiskTrust({ name: 'Journal', log, onFatal: (reason) => { this.#onFatal?.(reason) } })
  }

  pathOf (name: string): string {
    return join(this.folder, name)
  }

  /** Has `onFatal` called when the disk fails from now on. */
  watch (onFatal: ((reason: HoldfastError) => void) | undefined): void {
    this.#onFatal = onFatal
  }

  get failed (): boolean {
    return this.#trust.isLost
  }

  /** @throws `UNAVAILABLE` once the disk has failed. */
  requireSound (): void {
    this.#trust.require()
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
      if (exhaustion === undefined) throw this.#trust.lose(what, this.pathOf(name), cause)
      throw new HoldfastError('LIMIT', `Could not ${what} ${this.pathOf(name)}: ${exhaustion}`, { cause, path: this.pathOf(name) })
    }
  }

  /** Runs a step whose failure leaves unknown what is on the disk. @throws `UNAVAILABLE`, from now on for ever. */
  async durably<T> (what: string, name: string, step: () => Promise<T>): Promise<T> {
    return await this.#trust.durably(what, this.pathOf(name), step)
  }
}
