import { type Block, isErrorCode, type Logger, multihashKey, unlessAborted } from '@holdfast/core'
import type { CID } from 'multiformats/cid'
import type { DeleteManyOptions, DeleteOptions } from '../blockstore.ts'
import type { Compactor } from './compactor.ts'
import type { FairTurns } from './fair-turns.ts'
import type { SectionDraft } from './group-commit.ts'
import { isSamePlace, type Location } from './location.ts'
import type { OpenPacks } from './open-packs.ts'
import type { PackDisk } from './pack-disk.ts'
import type { PackWriter } from './pack-writer.ts'
import type { SectionBook } from './section-book.ts'

export interface BlockChangesParts {
  readonly disk: PackDisk
  readonly packs: OpenPacks
  readonly book: SectionBook
  readonly writer: PackWriter
  readonly compactor: Compactor
  /** Whether the store compacts by itself. */
  readonly compaction: boolean
  /** Whether bytes that are stored are taken for right. */
  readonly isTrusting: boolean
  readonly turns: FairTurns
  readonly log: Logger
  /** @throws the reason of the signal, or that the store is closed. */
  readonly requireOpen: (signal: AbortSignal | undefined) => void
}

/** Puts and deletions of blocks, so that those of one block come one after the other. */
export class BlockChanges {
  readonly #parts: BlockChangesParts
  /** Blocks that are being written, and what tells of it. */
  readonly #pending = new Map<string, Promise<void>>()
  readonly #running = new Set<Promise<unknown>>()
  /** A block whose deletion is being decided: one that is put meanwhile comes later, and is written anew. */
  #removing: string | undefined

  constructor (parts: BlockChangesParts) {
    this.#parts = parts
  }

  /** Resolves when all of the blocks are durable and found. */
  async store (blocks: readonly Block[]): Promise<void> {
    await this.#run(this.#storeAll(blocks))
  }

  /** Removes the block, unless `when` says no, and returns where it was; one that was damaged goes unsaid. */
  async remove (cid: CID, { signal, when }: DeleteOptions): Promise<Location | undefined> {
    const key = multihashKey(cid)
    for (let wait = this.#beforeRemoval(key); wait !== undefined; wait = this.#beforeRemoval(key)) await unlessAborted(wait, signal)
    return this.#take(key, { signal, when })
  }

  /** Removes blocks, and returns how many bytes each had; durable when this resolves, unless the disk is full. */
  async removeMany (cids: readonly CID[], options: DeleteManyOptions): Promise<Array<number | undefined>> {
    return await this.#run(this.#removeAll(cids, options))
  }

  /** Resolves when nothing runs any more. */
  async settled (): Promise<void> {
    await Promise.allSettled(this.#running)
  }

  async #run<T> (change: Promise<T>): Promise<T> {
    this.#running.add(change)
    try {
      return await change
    } finally {
      this.#running.delete(change)
    }
  }

  /** Stores what is not there; of what is there, the bytes are compared, so that a block that rotted is written anew. */
  async #storeAll (blocks: readonly Block[]): Promise<void> {
    const { disk, book, isTrusting } = this.#parts
    const waits = new Set<Promise<void>>()
    let remaining = blocks
    while (remaining.length > 0) {
      disk.requireSound()
      const drafts = new Map<string, SectionDraft>()
      const stored: Block[] = []
      for (const block of remaining) {
        const key = multihashKey(block.cid)
        if (drafts.has(key)) continue
        const pending = this.#pending.get(key)
        const place = pending === undefined ? book.table.find(block.cid.multihash.bytes) : undefined
        if (pending !== undefined) waits.add(pending)
        else if (place === undefined || place.isQuarantined || key === this.#removing) drafts.set(key, { key, cid: block.cid, bytes: block.bytes })
        else if (!isTrusting) stored.push(block)
      }
      if (drafts.size > 0) waits.add(this.#write([...drafts.values()]))
      remaining = stored.length === 0 ? [] : await this.#changed(stored)
    }
    await Promise.all(waits)
  }

  /** Writes sections, and lets those wait for them who put the same blocks meanwhile. */
  #write (drafts: readonly SectionDraft[]): Promise<void> {
    const writing = this.#parts.writer.add(drafts).finally(() => {
      for (const { key } of drafts) this.#pending.delete(key)
    })
    for (const { key } of drafts) this.#pending.set(key, writing)
    writing.catch(() => {}) // Told to each who waits.
    return writing
  }

  /** Of blocks that are stored, those whose stored bytes are others, or gone by now. */
  async #changed (blocks: readonly Block[]): Promise<Block[]> {
    const { book, packs } = this.#parts
    const changed: Block[] = []
    // One for all: clearing the pages of a new one for each block would take as long as reading it.
    const into = Buffer.allocUnsafeSlow(Math.max(...blocks.map(({ bytes }) => bytes.byteLength)))
    for (const block of blocks) {
      const place = book.table.find(block.cid.multihash.bytes)
      if (place === undefined || place.isQuarantined) {
        changed.push(block)
        continue
      }
      const bytes = packs.readNow(place) ?? await packs.read(place, undefined, into)
      const isSame = bytes !== undefined && Buffer.compare(bytes, block.bytes) === 0
      const present = book.table.find(block.cid.multihash.bytes)
      if (isSame && present !== undefined && isSamePlace(present, place)) continue
      if (!isSame) book.quarantine(multihashKey(block.cid), place)
      changed.push(block)
    }
    return changed
  }

  async #removeAll (cids: readonly CID[], { signal, when }: DeleteManyOptions): Promise<Array<number | undefined>> {
    const { book, log } = this.#parts
    const byteLengths: Array<number | undefined> = []
    for (const [index, cid] of cids.entries()) {
      const key = multihashKey(cid)
      for (let wait = this.#beforeRemoval(key); wait !== undefined; wait = this.#beforeRemoval(key)) await unlessAborted(wait, signal)
      byteLengths.push(this.#take(key, { signal, when: when && (() => when(cid, index)) })?.byteLength)
    }
    await book.marks.flush().catch((err: unknown) => {
      if (!isErrorCode(err, 'LIMIT')) throw err
      log.debug('Deletions could not be noted for want of space; it is tried again', { err })
    })
    return byteLengths
  }

  /** Something to wait for before the block can be removed: the turn of others, the index, a put that runs. */
  #beforeRemoval (key: string): Promise<void> | undefined {
    const over = this.#parts.turns.over()
    if (over !== undefined) return over
    const { table } = this.#parts.book
    return table.isFull ? table.flush() : this.#pending.get(key)?.catch(() => {})
  }

  /** Takes the block out, which nobody writes now. */
  #take (key: string, { signal, when }: DeleteOptions): Location | undefined {
    const { disk, book, compactor, compaction, requireOpen } = this.#parts
    disk.requireSound()
    requireOpen(signal)
    const place = book.table.findByKey(key)
    if (place === undefined) return undefined
    this.#removing = key
    try {
      if (when?.() === false) return undefined
    } finally {
      this.#removing = undefined
    }
    book.table.replace(key, place, undefined)
    book.markDead(key, place)
    if (compaction) compactor.wake()
    return place.isQuarantined ? undefined : place
  }
}
