import { type CompactParts, compactPack, MIN_LIVE_SHARE } from './compact.ts'
import type { PackInfo } from './pack-index.ts'

/** How long deletions are gathered before packs are looked at, in milliseconds. */
const DELAY_MS = 1000

/** Share of the length of packs that must be dead in one before writing it anew is worth the while: a short pack is left alone. */
const MIN_DEAD_SHARE: number = 1 / 64

export interface CompactorParts extends Omit<CompactParts, 'isGentle' | 'signal'> {
  /** Bytes that packs have. */
  readonly packBytes: number
}

/** Compacts packs that are mostly dead, one after another, behind everything else. */
export class Compactor implements AsyncDisposable {
  readonly #parts: CompactorParts
  readonly #stopping = new AbortController()
  readonly #damaged: Set<number>
  /** Packs that could not be removed, by the number of quarantined blocks that kept them. */
  readonly #kept = new Map<number, number>()
  #timer: NodeJS.Timeout | undefined
  #working: Promise<number> | undefined

  constructor (parts: CompactorParts, damagedPacks: ReadonlySet<number>) {
    this.#parts = parts
    this.#damaged = new Set(damagedPacks)
  }

  /** Adds packs that are to be written anew whatever they hold. */
  add (damagedPacks: readonly number[]): void {
    for (const number of damagedPacks) this.#damaged.add(number)
  }

  /** Has packs looked at soon. */
  wake (): void {
    if (this.#stopping.signal.aborted || this.#working !== undefined) return
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined
      this.run({ isGentle: true }).catch((err: unknown) => {
        if (!this.#stopping.signal.aborted) this.#parts.log.warn('Packs were not compacted; it is tried again', { err })
      })
    }, DELAY_MS).unref()
  }

  /** Compacts all packs that are worth it and returns how many went. Calls at the same time share one run. */
  async run ({ isGentle, signal }: { isGentle: boolean, signal?: AbortSignal | undefined }): Promise<number> {
    this.#working ??= this.#run(isGentle, signal).finally(() => { this.#working = undefined })
    return await this.#working
  }

  async [Symbol.asyncDispose] (): Promise<void> {
    clearTimeout(this.#timer)
    this.#stopping.abort(new Error('The store is closing'))
    await this.#working?.catch(() => {})
  }

  async #run (isGentle: boolean, given: AbortSignal | undefined): Promise<number> {
    const signal = given === undefined ? this.#stopping.signal : AbortSignal.any([given, this.#stopping.signal])
    let removedCount = 0
    for (let next = this.#next(); next !== undefined; next = this.#next()) {
      signal.throwIfAborted()
      const isGone = await compactPack({ ...this.#parts, isGentle, signal }, next.number)
      this.#damaged.delete(next.number)
      if (isGone) removedCount++
      else this.#kept.set(next.number, this.#quarantinedIn(next.number))
    }
    return removedCount
  }

  /** The pack that gives back most; the newest one is closed first when it is mostly dead. */
  #next (): PackInfo | undefined {
    const { book: { table }, writer } = this.#parts
    const worth = table.packs().filter((pack) => this.#isWorth(pack))
    if (worth.some(({ number }) => number === writer.activePack)) writer.roll()
    return worth.filter(({ number }) => number !== writer.activePack).sort((a, b) => deadBytes(b) - deadBytes(a))[0]
  }

  #isWorth (pack: PackInfo): boolean {
    if (this.#kept.get(pack.number) === pack.quarantinedCount) return false
    if (this.#damaged.has(pack.number)) return true
    return deadBytes(pack) >= MIN_DEAD_SHARE * this.#parts.packBytes && pack.liveBytes < MIN_LIVE_SHARE * pack.byteLength
  }

  #quarantinedIn (number: number): number {
    return this.#parts.book.table.pack(number)?.quarantinedCount ?? 0
  }
}

function deadBytes ({ byteLength, liveBytes }: PackInfo): number {
  return byteLength - liveBytes
}
