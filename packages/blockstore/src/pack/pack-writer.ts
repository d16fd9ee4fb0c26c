import type { BlockTable } from './block-table.ts'
import { type Batch, GroupCommit, layOut, MAX_GROUP_BYTES, type SectionDraft } from './group-commit.ts'
import { PackAppender } from './pack-appender.ts'
import type { PackDisk } from './pack-disk.ts'
import { PACK_HEADER_BYTES } from './pack-format.ts'
import type { SectionBook } from './section-book.ts'
import type { SpaceGuard } from './space-guard.ts'

/** Bytes of a pack, from which on the next one is begun (performance.md 2f: 256 MiB to 1 GiB). Small packs are compacted fast. */
export const DEFAULT_PACK_BYTES: number = 256 * 1024 * 1024

/** Offsets have 32 bits, and a pack may grow by a group beyond its length. */
export const MAX_PACK_BYTES: number = 1024 * 1024 * 1024

export interface PackWriterParts {
  readonly disk: PackDisk
  readonly book: SectionBook
  readonly space: SpaceGuard
  readonly appender: PackAppender
  readonly packBytes: number
}

/** Appends sections to the newest pack, many callers' at once, and tells the book of those that are durable. */
export class PackWriter implements AsyncDisposable {
  readonly #parts: PackWriterParts
  readonly #table: BlockTable
  readonly #queue: GroupCommit
  #appender: PackAppender
  #rollNext = false

  constructor (parts: PackWriterParts) {
    this.#parts = parts
    this.#table = parts.book.table
    this.#appender = parts.appender
    this.#queue = new GroupCommit(async (batches) => { await this.#write(batches) })
  }

  /** Number of the pack that is written to. */
  get activePack (): number {
    return this.#appender.number
  }

  /** Resolves when every section is durable and its block is found. */
  async add (drafts: readonly SectionDraft[]): Promise<void> {
    if (drafts.length === 0) return
    // Whoever is told of a failure may act at once on blocks of any of the batches: none is still being written then.
    const outcomes = await Promise.allSettled(inBatches(drafts).map(async (batch) => { await this.#queue.add(batch) }))
    for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason
  }

  /** Has the next write begin a new pack. */
  roll (): void {
    this.#rollNext = true
  }

  /** Resolves when nothing waits to be written. */
  async idle (): Promise<void> {
    await this.#queue.idle()
  }

  async [Symbol.asyncDispose] (): Promise<void> {
    await this.idle()
    await this.#appender[Symbol.asyncDispose]()
  }

  async #write (batches: readonly Batch[]): Promise<void> {
    const { disk, book, space } = this.#parts
    disk.requireSound()
    if (this.#table.isFull) await this.#table.flush()
    const drafts = batches.flatMap(({ drafts }) => drafts)
    const byteLength = batches.reduce((sum, batch) => sum + batch.byteLength, 0)
    // What is moved makes room; the reserve is there for it.
    if (drafts.some(({ movedFrom }) => movedFrom === undefined)) await space.requireRoom(byteLength)
    await this.#rollWhenFull(byteLength)

    const { parts, places, end } = layOut(drafts, this.#appender.number, this.#appender.byteLength)
    await this.#appender.append(parts)
    for (const [index, place] of places.entries()) {
      const draft = drafts[index]
      if (draft !== undefined) book.add(draft.key, place, draft.movedFrom)
    }
    this.#table.extend(this.#appender.number, { byteLength: end })
  }

  async #rollWhenFull (byteLength: number): Promise<void> {
    const { disk, packBytes } = this.#parts
    const isEmpty = this.#appender.byteLength <= PACK_HEADER_BYTES
    if (isEmpty || (!this.#rollNext && this.#appender.byteLength + byteLength <= packBytes)) return
    await this.#appender.seal()
    const next = await PackAppender.create(disk, this.#appender.number + 1, this.#table.storeId)
    await this.#appender[Symbol.asyncDispose]()
    this.#appender = next
    this.#rollNext = false
    this.#table.extend(next.number, { byteLength: next.byteLength })
  }
}

/** Batches of at most `MAX_GROUP_BYTES` and a block. */
function inBatches (drafts: readonly SectionDraft[]): SectionDraft[][] {
  const batches: SectionDraft[][] = []
  let batch: SectionDraft[] = []
  let byteLength = 0
  for (const draft of drafts) {
    batch.push(draft)
    byteLength += draft.bytes.byteLength
    if (byteLength < MAX_GROUP_BYTES) continue
    batches.push(batch)
    batch = []
    byteLength = 0
  }
  if (batch.length > 0) batches.push(batch)
  return batches
}
