import { Block, HoldfastError, isHoldfastError } from '@holdfast/core'
import type { CID } from 'multiformats/cid'
import type { OpenPacks } from './open-packs.ts'
import { MAX_SECTION_HEADER_BYTES, PACK_HEADER_BYTES, readSectionHeader } from './pack-format.ts'

/** Bytes asked of the disk at once: twice the longest section. */
const WINDOW_BYTES: number = 4 * 1024 * 1024

/**
 * Bytes that are hashed at most to find where sections begin again after damage. Each of the lengths found in
 * damaged bytes may be a lie that costs the hash of 2 MiB.
 */
export const MAX_SEARCH_BYTES: number = 4 * 1024 * 1024 * 1024

/** What stands at a place of a pack. */
export type PackPart =
  /** A section; `isSound` when its bytes are those of the CID, or when they were not checked. */
  | { readonly kind: 'section', readonly cid: CID, readonly offset: number, readonly headerByteLength: number, readonly byteLength: number, readonly isSound: boolean }
  /** Bytes that are no section, up to the next one or to the end of the pack. */
  | { readonly kind: 'gap', readonly begin: number, readonly end: number }

export interface ScanOptions {
  readonly number: number
  /** Where a section begins. @default the first */
  readonly from?: number
  /** Where the pack ends. */
  readonly byteLength: number
  /** Whether the bytes of every block are hashed. Without, a section is what leads to another or to the end. */
  readonly verifying: boolean
  readonly signal?: AbortSignal | undefined
}

/**
 * Yields the sections of a pack in their order.
 *
 * Where there is none it looks for the next whose bytes match its CID: nothing that merely looks like a section counts after damage.
 */
export async function * scanPack (packs: OpenPacks, { number, from = PACK_HEADER_BYTES, byteLength, verifying, signal }: ScanOptions): AsyncGenerator<PackPart> {
  const window = new PackWindow(packs, number, byteLength)
  const search = { budget: MAX_SEARCH_BYTES }
  for (let at = from; at < byteLength;) {
    signal?.throwIfAborted()
    const section = await sectionAt(window, at, verifying)
    if (section?.isSound === true) {
      yield section
      at = section.offset + section.byteLength
      continue
    }
    // The next section is where this one says, if it was only its bytes that changed.
    const claimed = section === undefined ? undefined : section.offset + section.byteLength
    if (section !== undefined && claimed !== undefined && await isBoundary(window, claimed)) {
      yield section
      at = claimed
      continue
    }
    const next = await findSection(window, at + 1, search)
    yield { kind: 'gap', begin: at, end: next }
    at = next
  }
}

type Section = Extract<PackPart, { kind: 'section' }>

async function sectionAt (window: PackWindow, at: number, verifying: boolean): Promise<Section | undefined> {
  const header = readSectionHeader(await window.bytes(at, MAX_SECTION_HEADER_BYTES), 0)
  if (header === undefined) return undefined
  const offset = at + header.headerByteLength
  if (offset + header.byteLength > window.byteLength) return undefined
  const isSound = verifying ? await isBlock(header.cid, await window.bytes(offset, header.byteLength)) : true
  return { kind: 'section', ...header, offset, isSound }
}

/** The end of the pack, or a sound section: damaged bytes must not vouch for each other. */
async function isBoundary (window: PackWindow, at: number): Promise<boolean> {
  return at === window.byteLength || (await sectionAt(window, at, true))?.isSound === true
}

/** Where the next sound section begins, or the end of the pack. */
async function findSection (window: PackWindow, from: number, search: { budget: number }): Promise<number> {
  for (let begin = from; begin < window.byteLength;) {
    const bytes = await window.bytes(begin, SEARCH_BYTES)
    const end = begin + bytes.byteLength
    // A header at the very end of what was read is looked at with what follows.
    const last = end === window.byteLength ? end : end - MAX_SECTION_HEADER_BYTES
    for (let at = begin; at < last; at++) {
      const header = readSectionHeader(bytes, at - begin)
      if (header === undefined || at + header.headerByteLength + header.byteLength > window.byteLength) continue
      search.budget -= header.byteLength
      if (search.budget < 0) return window.byteLength
      if (await isBlock(header.cid, await window.bytes(at + header.headerByteLength, header.byteLength))) return at
    }
    begin = last
  }
  return window.byteLength
}

/** Bytes that are searched before others are read. */
const SEARCH_BYTES: number = 64 * 1024

/** Reports whether the bytes are those of the CID. */
export async function isBlock (cid: CID, bytes: Uint8Array): Promise<boolean> {
  try {
    await Block.verify(cid, bytes)
    return true
  } catch (err) {
    if (isHoldfastError(err)) return false
    throw err
  }
}

/** Reads a pack from front to back, holding a window of it. */
class PackWindow {
  readonly byteLength: number
  readonly #packs: OpenPacks
  readonly #number: number
  #bytes: Uint8Array = new Uint8Array()
  #begin = 0

  constructor (packs: OpenPacks, number: number, byteLength: number) {
    this.#packs = packs
    this.#number = number
    this.byteLength = byteLength
  }

  /** Up to `byteLength` bytes at `offset`; fewer only at the end. */
  async bytes (offset: number, byteLength: number): Promise<Uint8Array> {
    const end = Math.min(offset + byteLength, this.byteLength)
    if (end <= offset) return new Uint8Array()
    if (offset < this.#begin || end > this.#begin + this.#bytes.byteLength) await this.#fill(offset)
    return this.#bytes.subarray(offset - this.#begin, end - this.#begin)
  }

  async #fill (offset: number): Promise<void> {
    const byteLength = Math.min(WINDOW_BYTES, this.byteLength - offset)
    const bytes = await this.#packs.read({ pack: this.#number, offset, byteLength })
    if (bytes === undefined) throw new HoldfastError('CORRUPT', `Pack ${this.#number} has gone while it was read`, { pack: this.#number })
    this.#bytes = bytes
    this.#begin = offset
  }
}

