import { HoldfastError, type Logger } from '@holdfast/core'
import { basename, dirname } from 'node:path'
import { type JournalFile, type JournalFs, JOURNAL_FILE_MODE, removeFiles, syncFolder } from '../journal/journal-fs.ts'
import type { BookLog } from './cache-book.ts'
import { CACHE_LOG_MAGIC, type CacheRecord, encodeFrames } from './log-format.ts'

/** Bytes of records without effect from which on the file is written anew, if they are also more than the others. */
const MIN_DEAD_BYTES: number = 1024 * 1024

/** Bytes of a record of sha2-256: what an entry of the book takes in a file that was just written. */
const RECORD_BYTES = 40

/** Entries that are encoded between two writes: a file of any length is written without holding up the node. */
const ENTRIES_PER_WRITE = 1024

/** Records that wait for the disk; with more, the whole book is written instead. About 10 MiB. */
const MAX_PENDING_RECORDS = 65_536

/** How long nothing is written after a failure, in milliseconds: a full disk is not asked again at each block. */
const RETRY_MS: number = 60 * 1000

export interface CacheLogDeps {
  readonly fs: JournalFs
  readonly path: string
  readonly log: Logger
  /** What the book holds, the block that was used longest ago first. */
  entries(): Iterable<[key: string, byteLength: number]>
  /** Whether the next node may rely on what the book says by now. */
  isTrusted(): boolean
}

/**
 * Keeps the book of cached blocks in a file, so that it survives a restart.
 *
 * That a block became cache is written some time later and never waited for: losing it leaves the block to the
 * collector. That it is cache no more has to be durable before anybody relies on the block: `forgottenDurably`. When
 * the file cannot be written it is removed, since a file that says too much would cost a block that somebody needs.
 */
export class CacheLog implements BookLog, AsyncDisposable {
  readonly #deps: CacheLogDeps
  #file: JournalFile | undefined
  #position = 0
  #liveBytes = 0
  #pending: CacheRecord[] = []
  #isFlushQueued = false
  /** Writes take turns. */
  #turn: Promise<void> = Promise.resolve()
  #forgottenCount = 0
  #durableCount = 0
  /** A file that says too much is there and could not be removed. */
  #isStale = false
  #retryAtMs = -Infinity
  #isClosed = false

  constructor (deps: CacheLogDeps) {
    this.#deps = deps
  }

  append (record: CacheRecord): void {
    if (this.#isClosed) return
    if (record.kind === 'forgotten') this.#forgottenCount++
    this.#pending.push(record)
    if (this.#isFlushQueued) return
    this.#isFlushQueued = true
    this.#inTurn(async () => { await this.#flush() }).catch(() => {}) // Whoever relies on it asks, and meets the failure.
  }

  /**
   * Resolves when no restart brings back what was forgotten so far.
   *
   * @throws `UNAVAILABLE` when the disk neither takes the records nor lets the file go.
   */
  async forgottenDurably (): Promise<void> {
    const count = this.#forgottenCount
    if (this.#durableCount >= count && !this.#isStale) return
    await this.#inTurn(async () => {
      if (this.#durableCount >= count && !this.#isStale) return
      const upTo = this.#forgottenCount
      await this.#flush()
      await this.#orRemove(async () => { await this.#file?.datasync() })
      this.#durableCount = Math.max(this.#durableCount, upTo)
    })
  }

  /** Writes the file anew, without a mark that it was closed. */
  async rewrite (): Promise<void> {
    await this.#inTurn(async () => { await this.#rewrite([]) })
  }

  /** Writes the book in its order, and, if it may be relied on, that it is complete. */
  async [Symbol.asyncDispose] (): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    await this.#inTurn(async () => {
      this.#retryAtMs = -Infinity
      const [first] = this.#deps.entries()
      if (this.#file !== undefined || first !== undefined) await this.#rewrite(this.#deps.isTrusted() ? [{ kind: 'closed' }] : [])
      await this.#close()
    })
  }

  async #inTurn (write: () => Promise<void>): Promise<void> {
    const turn = this.#turn.then(write)
    this.#turn = turn.catch(() => {})
    await turn
  }

  async #flush (): Promise<void> {
    this.#isFlushQueued = false
    if (this.#pending.length === 0) return
    const deadBytes = this.#position - this.#liveBytes
    const isMostlyDead = deadBytes > Math.max(MIN_DEAD_BYTES, this.#liveBytes)
    if (this.#file === undefined || isMostlyDead || this.#pending.length > MAX_PENDING_RECORDS) return await this.#rewrite([])
    const records = this.#pending
    this.#pending = []
    for (const { kind } of records) this.#liveBytes += kind === 'cached' ? RECORD_BYTES : -RECORD_BYTES
    await this.#orRemove(async () => { for (const frame of encodeFrames(records)) await this.#write(frame) })
  }

  /** The records that wait are part of what the book says by now; those that come meanwhile are written after it. */
  async #rewrite (end: readonly CacheRecord[]): Promise<void> {
    this.#pending = []
    if (performance.now() < this.#retryAtMs) return
    const { fs, path } = this.#deps
    await this.#orRemove(async () => {
      await this.#close()
      this.#file = await fs.open(`${path}.tmp`, 'w', JOURNAL_FILE_MODE)
      this.#position = 0
      await this.#write(CACHE_LOG_MAGIC)
      for (const frame of this.#frames()) await this.#write(frame)
      for (const frame of encodeFrames(end)) await this.#write(frame)
      this.#liveBytes = this.#position
      const upTo = this.#forgottenCount
      await this.#file.datasync()
      // Windows renames no file that is open.
      await this.#close()
      await fs.rename(`${path}.tmp`, path)
      await syncFolder(fs, dirname(path))
      this.#file = await fs.open(path, 'r+')
      if (this.#pending.length === 0) this.#durableCount = Math.max(this.#durableCount, upTo)
    })
  }

  * #frames (): Generator<Uint8Array> {
    let records: CacheRecord[] = []
    for (const [key, byteLength] of this.#deps.entries()) {
      records.push({ kind: 'cached', key, byteLength })
      if (records.length < ENTRIES_PER_WRITE) continue
      yield * encodeFrames(records)
      records = []
    }
    yield * encodeFrames(records)
  }

  async #write (bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.byteLength;) {
      const { bytesWritten } = await this.#file?.write(bytes, at, bytes.byteLength - at, this.#position) ?? { bytesWritten: 0 }
      if (bytesWritten === 0) throw new HoldfastError('UNAVAILABLE', `The file system takes no bytes for ${this.#deps.path}`)
      at += bytesWritten
      this.#position += bytesWritten
    }
  }

  /** Without a file, no restart brings anything back. */
  async #orRemove (write: () => Promise<void>): Promise<void> {
    try {
      if (this.#isStale) throw new HoldfastError('UNAVAILABLE', `${this.#deps.path} is out of date`)
      await write()
    } catch (err) {
      this.#deps.log.warn('Could not keep the book of cached blocks: those of now will stay until a gc if the node ends', { err, path: this.#deps.path })
      this.#isStale = true
      this.#retryAtMs = performance.now() + RETRY_MS
      await this.#remove()
    }
  }

  async #remove (): Promise<void> {
    const { fs, path } = this.#deps
    const upTo = this.#forgottenCount
    this.#pending = []
    await this.#close()
    try {
      await removeFiles(fs, dirname(path), [basename(path), `${basename(path)}.tmp`])
      await syncFolder(fs, dirname(path))
    } catch (cause) {
      throw new HoldfastError('UNAVAILABLE', `Could not remove ${path}, which is out of date; check the disk`, { cause, path })
    }
    this.#isStale = false
    this.#durableCount = Math.max(this.#durableCount, upTo)
  }

  /** A close that fails loses nothing: what has to last was synced before. */
  async #close (): Promise<void> {
    const file = this.#file
    this.#file = undefined
    await file?.close().catch(() => {})
  }
}
