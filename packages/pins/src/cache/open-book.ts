import { HoldfastError, type Logger } from '@holdfast/core'
import { basename, dirname } from 'node:path'
import { type JournalFile, type JournalFs, removeFiles } from '../journal/journal-fs.ts'
import { CacheBook } from './cache-book.ts'
import { CacheLog } from './cache-log.ts'
import { CACHE_LOG_MAGIC, type CacheRecord, cidOfKey, decodeFrame } from './log-format.ts'

/**
 * Blocks in the book; beyond that the oldest are evicted whatever their bytes: about 45 MiB of memory, and 20 GiB of
 * blocks of 40 KiB.
 */
export const MAX_CACHED_BLOCKS: number = 512 * 1024

/** Bytes read at once. */
const READ_BYTES: number = 1024 * 1024

export interface OpenedBook extends AsyncDisposable {
  readonly book: CacheBook
  /** @throws as `CacheLog.forgottenDurably`. */
  forgottenDurably(): Promise<void>
  /**
   * The node that wrote the book did not end in order, or the file is a copy made while it ran: pins may need what it names.
   * Whoever made sure that they do not sets it to `false`.
   */
  isDoubtful: boolean
}

/**
 * Reads the book of cached blocks and keeps it up to date.
 *
 * A file that is damaged counts for nothing: the blocks that it named stay until the collector comes.
 *
 * @throws `UNAVAILABLE` when the file can neither be written nor removed.
 */
export async function openBook (path: string, { fs, log }: { readonly fs: JournalFs, readonly log: Logger }): Promise<OpenedBook> {
  await removeFiles(fs, dirname(path), [`${basename(path)}.tmp`])
  const found = await readBook(path, { fs, log })
  const cacheLog = new CacheLog({ fs, path, log, entries: () => book.entries(), isTrusted: () => !opened.isDoubtful })
  const book: CacheBook = new CacheBook(cacheLog, found?.byteLengths)
  // From now on the file does not say any more that it is complete.
  if (found !== undefined) await cacheLog.rewrite()
  const opened: OpenedBook = {
    book,
    isDoubtful: found !== undefined && !found.isClosed,
    forgottenDurably: () => cacheLog.forgottenDurably(),
    [Symbol.asyncDispose]: () => cacheLog[Symbol.asyncDispose]()
  }
  return opened
}

interface Found {
  readonly byteLengths: Map<string, number>
  readonly isClosed: boolean
}

async function readBook (path: string, { fs, log }: { readonly fs: JournalFs, readonly log: Logger }): Promise<Found | undefined> {
  const byteLengths = new Map<string, number>()
  let isClosed = false
  try {
    for await (const record of recordsOf(path, fs)) {
      isClosed = record.kind === 'closed'
      if (record.kind === 'forgotten') byteLengths.delete(record.key)
      if (record.kind !== 'cached') continue
      cidOfKey(record.key)
      // Whatever is named again was used again.
      byteLengths.delete(record.key)
      byteLengths.set(record.key, record.byteLength)
      // As many again may come before the oldest are evicted.
      if (byteLengths.size > 2 * MAX_CACHED_BLOCKS) throw new HoldfastError('CORRUPT', `${path} names more blocks than a book holds`, { path })
    }
  } catch (err) {
    if (err instanceof Error && 'code' in err && err.code === 'ENOENT') return undefined
    log.warn('The book of cached blocks cannot be read: these blocks stay until a gc', { err, path })
    return { byteLengths: new Map(), isClosed: true }
  }
  return { byteLengths, isClosed }
}

/** Yields the records up to where a crash cut a write short. @throws `CORRUPT` for damage that is no such end. */
async function * recordsOf (path: string, fs: JournalFs): AsyncGenerator<CacheRecord | { readonly kind: 'torn' }> {
  const file = await fs.open(path, 'r')
  try {
    let rest = Buffer.alloc(0)
    let isBegun = false
    let isPastEnd = false
    for await (const piece of piecesOf(file)) {
      if (isPastEnd && !isZeros(piece)) throw damagedAt(path)
      if (isPastEnd) continue
      rest = Buffer.concat([rest, piece])
      if (!isBegun && rest.byteLength < CACHE_LOG_MAGIC.byteLength) continue
      if (!isBegun && !rest.subarray(0, CACHE_LOG_MAGIC.byteLength).equals(CACHE_LOG_MAGIC)) throw damagedAt(path)
      if (!isBegun) rest = rest.subarray(CACHE_LOG_MAGIC.byteLength)
      isBegun = true
      for (let frame = decodeFrame(rest); frame.kind !== 'short'; frame = decodeFrame(rest)) {
        // A power cut may leave zeros where a file grew.
        isPastEnd = frame.kind === 'damaged' && isZeros(rest)
        if (isPastEnd) break
        if (frame.kind === 'damaged') throw damagedAt(path)
        yield * frame.records
        rest = rest.subarray(frame.byteLength)
      }
    }
    // What a crash cut short comes after the mark of an orderly end, if there is one.
    if (rest.byteLength > 0) yield { kind: 'torn' }
  } finally {
    await file.close()
  }
}

function isZeros (bytes: Uint8Array): boolean {
  return bytes.every((byte) => byte === 0)
}

function damagedAt (path: string): HoldfastError {
  return new HoldfastError('CORRUPT', `${path} is damaged`, { path })
}

async function * piecesOf (file: JournalFile): AsyncGenerator<Buffer> {
  for (let position = 0; ;) {
    const piece = Buffer.alloc(READ_BYTES)
    const { bytesRead } = await file.read(piece, 0, piece.byteLength, position)
    if (bytesRead === 0) return
    yield piece.subarray(0, bytesRead)
    position += bytesRead
  }
}
