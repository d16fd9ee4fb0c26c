import { Block, HoldfastError, isHoldfastError, SHA2_256 } from '@holdfast/core'
import type { CID } from 'multiformats/cid'
import { hash } from 'node:crypto'
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
    const section = sectionNow(window, at, verifying) ?? await sectionAt(window, at, verifying)
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

/** A sound section that can be told without waiting, as nearly all can. */
function sectionNow (window: PackWindow, at: number, verifying: boolean): Section | undefined {
  const bytes = window.bytesNow(at, MAX_SECTION_HEADER_BYTES)
  const header = bytes === undefined ? undefined : readSectionHeader(bytes, 0)
  if (header === undefined) return undefined
  const { cid, headerByteLength, byteLength } = header
  const offset = at + headerByteLength
  if (offset + byteLength > window.byteLength) return undefined
  if (verifying) {
    const content = window.bytesNow(offset, byteLength)
    if (content === undefined || !isSha256(cid, content)) return undefined
  }
  return { kind: 'section', cid, headerByteLength, byteLength, offset, isSound: true }
}

/** The most common hash in one call; `false` says nothing. */
function isSha256 ({ multihash: { code, digest } }: CID, bytes: Uint8Array): boolean {
  return code === SHA2_256 && digest.byteLength === 32 && Buffer.compare(hash('sha256', bytes, 'buffer'), digest) === 0
}

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

  /** The same without reading; `undefined` when that is needed. */
  bytesNow (offset: number, byteLength: number): Uint8Array | undefined {
    const end = Math.min(offset + byteLength, this.byteLength)
    if (end <= offset || offset < this.#begin || end > this.#begin + this.#bytes.byteLength) return undefined
    return this.#bytes.subarray(offset - this.#begin, end - this.#begin)
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

