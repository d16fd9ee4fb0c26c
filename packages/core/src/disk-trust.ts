import { HoldfastError } from './errors.ts'
import type { Logger } from './logger.ts'

export interface DiskTrustOptions {
  /** What is on the disk, as in "Blockstore is read-only". */
  readonly name: string
  readonly log: Logger
  /** Called once, when the disk failed to keep what was written. */
  readonly onFatal?: ((reason: HoldfastError) => void) | undefined
}

/**
 * Whether what is written to a disk can still be trusted to be there.
 *
 * After a failed sync the kernel may have dropped the bytes and call the next sync a success, so one failure is final: nothing is
 * written any more, and whoever opens the store anew reads what really is on the disk.
 *
 * @see Rebello et al., "Can Applications Recover from fsync Failures?", USENIX ATC 2020
 */
export class DiskTrust {
  readonly #options: DiskTrustOptions
  #failure: HoldfastError | undefined

  constructor (options: DiskTrustOptions) {
    this.#options = options
  }

  get isLost (): boolean {
    return this.#failure !== undefined
  }

  /** @throws `UNAVAILABLE` once the disk has failed. */
  require (): void {
    if (this.#failure !== undefined) throw this.#failure
  }

  /** Runs a step whose failure leaves unknown what is on the disk. @throws `UNAVAILABLE`, from now on for ever. */
  async durably<T> (what: string, path: string, step: () => Promise<T>): Promise<T> {
    try {
      return await step()
    } catch (cause) {
      throw this.lose(what, path, cause)
    }
  }

  /**
   * Ends the trust, and returns the failure that ended it: the first one.
   *
   * @param what What could not be done to `path`, as in "could not …".
   */
  lose (what: string, path: string, cause: unknown): HoldfastError {
    if (this.#failure !== undefined) return this.#failure
    const { name, log, onFatal } = this.#options
    const errno = cause instanceof Error && 'code' in cause && typeof cause.code === 'string' ? cause.code : undefined
    this.#failure = new HoldfastError('UNAVAILABLE', `${name} is read-only since the disk failed: could not ${what} ${path} (${errno ?? 'unknown failure'}); check the disk, then start again`, { cause, path, errno })
    log.error(`${name} is read-only`, { path, err: this.#failure })
    onFatal?.(this.#failure)
    return this.#failure
  }
}
