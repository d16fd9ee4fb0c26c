import type { BlockTable } from './block-table.ts'
import { isSamePlace, type Location } from './location.ts'
import type { Mark } from './marks-format.ts'
import type { MarksWriter } from './marks.ts'

/**
 * Says which section of a pack is the one of a block: table and marks, changed together.
 *
 * A section that is no longer the one of its block gets a mark, so that an index made anew from the packs agrees.
 */
export class SectionBook {
  readonly table: BlockTable
  readonly marks: MarksWriter

  constructor (table: BlockTable, marks: MarksWriter) {
    this.table = table
    this.marks = marks
  }

  /** A section that is durable becomes the one of its block. A moved one only if the block is still where it was. */
  add (key: string, place: Location, movedFrom?: Location): void {
    const present = this.table.findByKey(key)
    if (movedFrom !== undefined) {
      if (present === undefined || present.isQuarantined || !isSamePlace(present, movedFrom)) {
        this.#mark('dead', key, place)
        return
      }
    }
    this.table.replace(key, present, place)
    if (present !== undefined && !isSamePlace(present, place)) this.#mark('dead', key, present)
  }

  /** Deletes a block. The place is what the table said last. */
  remove (key: string, place: Location): void {
    this.table.set(key, undefined)
    this.#mark('dead', key, place)
  }

  /** The bytes at `place` were found damaged. Does nothing when the block is elsewhere by now. */
  quarantine (key: string, place: Location): boolean {
    const present = this.table.findByKey(key)
    if (present === undefined || present.isQuarantined || !isSamePlace(present, place)) return false
    this.table.set(key, { ...place, isQuarantined: true })
    this.#mark('quarantined', key, place)
    return true
  }

  /** Writes the mark of a section whose block was taken out of the table already. */
  markDead (key: string, place: Location): void {
    this.#mark('dead', key, place)
  }

  #mark (kind: Mark['kind'], key: string, { pack, offset, byteLength }: Location): void {
    this.marks.add(pack, { kind, offset, byteLength, multihash: Buffer.from(key, 'latin1') })
  }
}
