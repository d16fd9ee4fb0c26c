import type { BlockReader } from '@holdfast/blockstore'
import { type AbortOptions, isErrorCode } from '@holdfast/core'
import { type DagEntry, findEntry, openEntry, type PlaceOf, readFile, resolvePath } from '@holdfast/dag'
import { CID } from 'multiformats/cid'
import { type CacheCounts, LruCache } from './lru-cache.ts'
import { SNIFF_BYTES, sniffContentType } from './sniff.ts'

/** Where a path leads, without the blocks on the way. */
export interface ResolvedPath {
  readonly cid: CID
  readonly cids: readonly CID[]
  readonly remainder: readonly string[]
}

/** Longest path that is remembered, in characters, and most CIDs on it: what keeps an entry of the cache near 1 KiB. */
const MAX_CACHED_PATH_CHARACTERS = 512
const MAX_CACHED_CIDS = 12

/** Bytes that suffice to tell text from binary; the rest of `SNIFF_BYTES` is a bonus when the first block has it. */
const ENOUGH_TO_SNIFF_BYTES = 512

/** What is remembered of content, by CID or path. */
interface Tables {
  readonly entries: LruCache<string, DagEntry>
  readonly paths: LruCache<string, ResolvedPath>
  readonly types: LruCache<string, string>
  readonly indexes: LruCache<string, DagEntry | 'none'>
}

function newTables (maxCount: number): Tables {
  return { entries: new LruCache(maxCount), paths: new LruCache(maxCount), types: new LruCache(maxCount), indexes: new LruCache(maxCount) }
}

/**
 * Answers what content is, and remembers it: a CID never changes its meaning, so nothing has to be invalidated.
 *
 * What is remembered outlives the blocks it came from; the bytes of content are always read.
 */
export class ContentMetadata {
  readonly blocks: BlockReader
  /** Where long content may be read past `blocks`. */
  readonly placeOf: PlaceOf | undefined
  readonly #tables: Tables

  /** @param tables Entries of each of its tables, or those of another reader's metadata. */
  constructor (blocks: BlockReader, tables: number | Tables, placeOf?: PlaceOf) {
    this.blocks = blocks
    this.placeOf = placeOf
    this.#tables = typeof tables === 'number' ? newTables(tables) : tables
  }

  /** How often each table had what was asked for. */
  counts (): Readonly<Record<keyof Tables, CacheCounts>> {
    return this.#tables
  }

  /** The same memory over another reader: what one request learned, all know. */
  over (blocks: BlockReader): ContentMetadata {
    return new ContentMetadata(blocks, this.#tables, this.placeOf)
  }

  /** Follows a path; see `resolvePath`. */
  async resolve (root: CID, segments: readonly string[], options: AbortOptions): Promise<ResolvedPath> {
    if (segments.length === 0) return { cid: root, cids: [root], remainder: segments }
    // Segments hold no slash, so joining them is unambiguous.
    const key = `${root}/${segments.join('/')}`
    const known = this.#tables.paths.get(key)
    if (known !== undefined) return known
    const { cids, remainder } = await resolvePath(this.blocks, root, segments, options)
    const detached = cids.map(detach)
    const resolved = { cid: detached.at(-1) ?? root, cids: detached, remainder }
    if (key.length <= MAX_CACHED_PATH_CHARACTERS && cids.length <= MAX_CACHED_CIDS) this.#tables.paths.set(key, resolved)
    return resolved
  }

  /** Tells what a CID is the root of; see `openEntry`. */
  async entry (cid: CID, options: AbortOptions): Promise<DagEntry> {
    const key = cid.toString()
    const known = this.#tables.entries.get(key)
    if (known !== undefined) return known
    const entry = await openEntry(this.blocks, cid, options)
    // The target of a symlink may be 4 KiB long.
    if (entry.kind !== 'symlink') this.#tables.entries.set(key, entry)
    return entry
  }

  /** Finds the `index.html` of a directory, when it is a file. */
  async indexPage (directory: CID, options: AbortOptions): Promise<DagEntry & { kind: 'file' } | undefined> {
    const key = directory.toString()
    let index = this.#tables.indexes.get(key)
    if (index === undefined) {
      const { entry } = await findEntry(this.blocks, directory, 'index.html', options)
      index = entry === undefined ? 'none' : await this.entry(detach(entry.cid), options)
      this.#tables.indexes.set(key, index)
    }
    return index !== 'none' && index.kind === 'file' ? index : undefined
  }

  /**
   * Tells the media type of a file from its first bytes, or `undefined` when they cannot be read: a range further in
   * may still be served.
   */
  async sniffedType ({ cid, byteLength }: DagEntry & { kind: 'file' }, options: AbortOptions): Promise<string | undefined> {
    const key = cid.toString()
    const known = this.#tables.types.get(key)
    if (known !== undefined) return known
    const head = await this.#readHead(cid, options)
    if (head === undefined) return undefined
    const type = await sniffContentType(head, head.byteLength === byteLength)
    this.#tables.types.set(key, type)
    return type
  }

  async #readHead (cid: CID, options: AbortOptions): Promise<Uint8Array | undefined> {
    const pieces: Uint8Array[] = []
    let byteLength = 0
    try {
      for await (const piece of readFile(this.blocks, cid, { ...options, byteLength: SNIFF_BYTES })) {
        pieces.push(piece)
        byteLength += piece.byteLength
        // Stopping at the first good piece keeps a missing second block from mattering.
        if (byteLength >= ENOUGH_TO_SNIFF_BYTES) break
      }
    } catch (err) {
      if (!isErrorCode(err, 'NOT_FOUND') && !isErrorCode(err, 'CORRUPT')) throw err
      return undefined
    }
    return Buffer.concat(pieces)
  }
}

/** Copies a CID out of the block it was read from, which it would keep in memory. */
function detach (cid: CID): CID {
  return CID.decode(Uint8Array.from(cid.bytes))
}
