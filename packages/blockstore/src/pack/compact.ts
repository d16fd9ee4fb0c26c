import { type Logger, multihashKey } from '@holdfast/core'
import type { CID } from 'multiformats/cid'
import { setTimeout as sleep } from 'node:timers/promises'
import { keyOf } from './block-table.ts'
import type { SectionDraft } from './group-commit.ts'
import { isSamePlace, type Location } from './location.ts'
import type { OpenPacks } from './open-packs.ts'
import { removeFiles } from './pack-appender.ts'
import type { PackDisk } from './pack-disk.ts'
import { marksName, packName } from './pack-names.ts'
import type { PackWriter } from './pack-writer.ts'
import { rawCidOf } from './raw-cid.ts'
import { isBlock, scanPack } from './scan-pack.ts'
import type { SectionBook } from './section-book.ts'

/** Share of a pack that must be live; below, it is written anew (performance.md 2f). */
export const MIN_LIVE_SHARE = 0.6

/** Bytes, and sections, that are moved with one sync. */
const STEP_BYTES: number = 1024 * 1024
const STEP_SECTIONS = 1024

export interface CompactParts {
  readonly disk: PackDisk
  readonly packs: OpenPacks
  readonly book: SectionBook
  readonly writer: PackWriter
  readonly log: Logger
  /** Whether it gives way: after each step it rests as long as the step took. */
  readonly isGentle: boolean
  readonly signal?: AbortSignal | undefined
}

/**
 * Moves what is live in a pack to the newest one, and removes the pack.
 *
 * ```
 * 1  sections are appended and synced as any others; only then their blocks are there
 * 2  the index is committed: it says so, and that the pack is retired
 * 3  the pack goes, then its marks
 * ```
 *
 * A crash before 2 leaves blocks twice, of which the later count; after 2 the pack is removed when the store is opened. A pack
 * with quarantined blocks that were not replaced stays: its bytes are all that is left of them.
 *
 * @returns whether the pack is gone.
 */
export async function compactPack (parts: CompactParts, number: number): Promise<boolean> {
  const { book: { table, marks }, writer, packs, disk } = parts
  if (number === writer.activePack || table.pack(number) === undefined) return false
  await moveSections(parts, number)
  if ((table.pack(number)?.blockCount ?? 0) > 0) await moveUnseen(parts, number)
  await writer.idle()

  const left = table.pack(number)
  if (left === undefined || left.blockCount + left.quarantinedCount > 0) return false
  table.removePack(number)
  marks.drop(number)
  await table.flush()
  await packs.drop(number)
  await removeFiles(disk, [packName(number)])
  await removeFiles(disk, [marksName(number)])
  await table.index.forget([number])
  return true
}

async function moveSections (parts: CompactParts, number: number): Promise<void> {
  const { book: { table }, packs, signal } = parts
  const mover = new Mover(parts)
  const byteLength = table.pack(number)?.byteLength ?? 0
  for await (const part of scanPack(packs, { number, byteLength, verifying: false, signal })) {
    if (part.kind === 'gap') continue
    const key = multihashKey(part.cid)
    const place = table.findByKey(key)
    if (place === undefined || place.isQuarantined || place.pack !== number || place.offset !== part.offset) continue
    await mover.move(key, part.cid, place)
  }
  await mover.finish()
}

/** Blocks of which the table knows, and the scan did not come by: only their headers are damaged. */
async function moveUnseen (parts: CompactParts, number: number): Promise<void> {
  const { book: { table } } = parts
  const mover = new Mover(parts)
  await table.flush()
  for (const [multihash, place] of table.indexed()) {
    if (place.pack !== number || place.isQuarantined) continue
    const cid = rawCidOf(multihash)
    if (cid !== undefined) await mover.move(keyOf(multihash), cid, place)
  }
  await mover.finish()
}

/** Copies sections to the newest pack, step by step. */
class Mover {
  readonly #parts: CompactParts
  #drafts: SectionDraft[] = []
  #byteLength = 0
  #begin = performance.now()

  constructor (parts: CompactParts) {
    this.#parts = parts
  }

  async move (key: string, cid: CID, place: Location): Promise<void> {
    const { packs, book, log, signal } = this.#parts
    const bytes = await packs.read(place, signal)
    const present = book.table.findByKey(key)
    if (bytes === undefined || present === undefined || !isSamePlace(present, place)) return
    if (!await isBlock(cid, bytes)) {
      if (book.quarantine(key, place)) log.error('Block is damaged and was quarantined', { cid: cid.toString(), pack: place.pack, byteOffset: place.offset })
      return
    }
    this.#drafts.push({ key, cid, bytes, movedFrom: place })
    this.#byteLength += bytes.byteLength
    if (this.#byteLength >= STEP_BYTES || this.#drafts.length >= STEP_SECTIONS) await this.finish()
  }

  /** Writes what was gathered. */
  async finish (): Promise<void> {
    const { writer, isGentle, signal } = this.#parts
    await writer.add(this.#drafts)
    this.#drafts = []
    this.#byteLength = 0
    if (isGentle) await sleep(performance.now() - this.#begin, undefined, signal === undefined ? {} : { signal })
    this.#begin = performance.now()
  }
}
