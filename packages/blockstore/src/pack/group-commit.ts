import type { CID } from 'multiformats/cid'
import type { Location } from './location.ts'
import { sectionHeaderByteLength, writeSectionHeader } from './pack-format.ts'

/** Most bytes written with one sync, unless a single batch has more (performance.md 2f). */
export const MAX_GROUP_BYTES: number = 8 * 1024 * 1024

/**
 * Blocks up to so many bytes are copied next to their headers before the write.
 *
 * Measured: a part of a `writev` costs about as much as copying 8 KiB.
 */
const MAX_COPIED_BYTES: number = 8 * 1024

/** A section to write. */
export interface SectionDraft {
  /** The multihash, latin1. */
  readonly key: string
  readonly cid: CID
  readonly bytes: Uint8Array
  /** Set when a section is moved: the new place counts only if the block is still here when it is durable. */
  readonly movedFrom?: Location | undefined
}

/** Sections of one caller. */
export interface Batch {
  readonly drafts: readonly SectionDraft[]
  /** Bytes of the sections. */
  readonly byteLength: number
}

interface Waiting {
  readonly batch: Batch
  readonly written: PromiseWithResolvers<void>
}

/**
 * Hands batches to one writer, in the order of the calls, as many at once as wait.
 *
 * The first call of a quiet moment is written at once; those that come while the disk works share the next
 * write and its sync. So nobody waits for company, and at most for the group before. The queue holds no bytes but
 * those of callers that wait.
 */
export class GroupCommit {
  readonly #write: (batches: readonly Batch[]) => Promise<void>
  #waiting: Waiting[] = []
  #working: Promise<void> | undefined

  /** @param write Never called twice at a time. What it throws is what each of the calls rejects with. */
  constructor (write: (batches: readonly Batch[]) => Promise<void>) {
    this.#write = write
  }

  /** Resolves when all of the sections are durable and found. */
  add (drafts: readonly SectionDraft[]): Promise<void> {
    const written = Promise.withResolvers<void>()
    const byteLength = drafts.reduce((sum, { cid, bytes }) => sum + sectionHeaderByteLength(cid, bytes.byteLength) + bytes.byteLength, 0)
    this.#waiting.push({ batch: { drafts, byteLength }, written })
    this.#working ??= this.#work()
    return written.promise
  }

  /** Resolves when nothing waits any more. */
  async idle (): Promise<void> {
    while (this.#working !== undefined) await this.#working
  }

  async #work (): Promise<void> {
    // Calls made in the same turn of the event loop go together.
    await Promise.resolve()
    while (this.#waiting.length > 0) await this.#writeGroup(this.#takeGroup())
    // In the same turn in which nothing was found to wait: who comes next wakes it again.
    this.#working = undefined
  }

  #takeGroup (): Waiting[] {
    let byteLength = 0
    const end = this.#waiting.findIndex(({ batch }, index) => {
      byteLength += batch.byteLength
      return index > 0 && byteLength > MAX_GROUP_BYTES
    })
    const group = this.#waiting.slice(0, end === -1 ? undefined : end)
    this.#waiting = this.#waiting.slice(group.length)
    return group
  }

  async #writeGroup (group: readonly Waiting[]): Promise<void> {
    try {
      await this.#write(group.map(({ batch }) => batch))
      for (const { written } of group) written.resolve()
    } catch (err) {
      for (const { written } of group) written.reject(err)
    }
  }
}

/** Sections as they go to the disk, and where each will be. */
export interface Layout {
  readonly parts: readonly Uint8Array[]
  readonly places: readonly Location[]
  readonly end: number
}

/** Lays sections out behind each other in pack `pack` from `begin` on. Long blocks are not copied. */
export function layOut (drafts: readonly SectionDraft[], pack: number, begin: number): Layout {
  const buffer = Buffer.allocUnsafe(drafts.reduce((sum, draft) => sum + copiedByteLength(draft), 0))
  const parts: Uint8Array[] = []
  const places: Location[] = []
  let end = begin
  let at = 0
  let partBegin = 0
  for (const { cid, bytes } of drafts) {
    const headerEnd = writeSectionHeader(buffer, at, cid, bytes.byteLength)
    const headerByteLength = headerEnd - at
    places.push({ pack, offset: end + headerByteLength, byteLength: bytes.byteLength, headerByteLength, isQuarantined: false })
    end += headerByteLength + bytes.byteLength
    at = headerEnd
    if (bytes.byteLength <= MAX_COPIED_BYTES) {
      buffer.set(bytes, at)
      at += bytes.byteLength
      continue
    }
    parts.push(buffer.subarray(partBegin, at), bytes)
    partBegin = at
  }
  if (at > partBegin) parts.push(buffer.subarray(partBegin, at))
  return { parts, places, end }
}

function copiedByteLength ({ cid, bytes }: SectionDraft): number {
  return sectionHeaderByteLength(cid, bytes.byteLength) + (bytes.byteLength <= MAX_COPIED_BYTES ? bytes.byteLength : 0)
}
