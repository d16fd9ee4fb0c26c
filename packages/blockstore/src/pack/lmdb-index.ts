import { HoldfastError, isHoldfastError } from '@holdfast/core'
import { type Database, open, type RootDatabase } from 'lmdb'
import { rm, stat, writeFile } from 'node:fs/promises'
import { unlessAbsent } from '../fs/fs-errors.ts'
import { requireLmdb } from './lmdb-meta.ts'
import { decodeLocation, encodeLocation, type Location } from './location.ts'
import { MAX_PACK_NUMBER } from './pack-format.ts'
import type { IndexBatch, IndexOpener, IndexState, PackIndex, PackInfo } from './pack-index.ts'

/** Version of what the index holds; an index of another version is made anew. */
export const INDEX_FORMAT_VERSION = 1

/**
 * Entries of one LMDB transaction.
 *
 * Sorted batches touch each page once. Measured with a million entries: steps of 4,096 take 0.1 kB of file an
 * entry, one transaction of 64,000 takes 0.22 kB, because pages that a transaction replaces are free only later;
 * and no step keeps the event loop longer than some 20 ms.
 */
const ENTRIES_PER_STEP = 4096

const STATE_KEY = Buffer.from('state')

/**
 * The index on LMDB in one file, which other processes may read meanwhile.
 *
 * LMDB has no checksums, and damaged pages may end the process. So the file is looked at before, and while it is opened for
 * writing a note lies beside it: who finds one there knows that the process before died of it, and makes the index anew. The same note
 * is left when the index turns out to be wrong.
 */
export function lmdbIndexAt (path: string, { readOnly = false }: { readOnly?: boolean } = {}): IndexOpener {
  const note = `${path}-opening`
  return {
    async open () {
      if (readOnly) return await explained(path, async () => new LmdbIndex(path, true))
      if (await unlessAbsent(stat(note)) !== undefined) throw new HoldfastError('CORRUPT', `Index ${path} ended the process that opened it last, or was found to be wrong`, { path })
      return await explained(path, async () => {
        await requireLmdb(path)
        await writeFile(note, '')
        const index = new LmdbIndex(path, false)
        index.packs()
        await rm(note, { force: true })
        return index
      })
    },
    async distrust () {
      await writeFile(note, '')
    },
    async remove () {
      for (const file of [path, `${path}-lock`, note]) await rm(file, { force: true })
    }
  }
}

type Table = Database<Buffer, Buffer>

/** LMDB takes any bytes as a key; a `Buffer` of each would cost a tenth of a look-up. */
type BlocksTable = Database<Buffer, Uint8Array>

class LmdbIndex implements PackIndex {
  readonly #path: string
  readonly #root: RootDatabase
  readonly #blocks: BlocksTable
  readonly #packs: Table
  readonly #retired: Table
  readonly #state: Table

  constructor (path: string, readOnly: boolean) {
    this.#path = path
    // Never noSync: LMDB may then be left damaged. Overlapping sync is slower here (measured: 50,000 against 120,000 entries/s).
    this.#root = open({ path, noSubdir: true, readOnly, maxDbs: 4, overlappingSync: false, cache: false })
    const options = { keyEncoding: 'binary', encoding: 'binary', cache: false } as const
    const table = (name: string): Table => this.#root.openDB<Buffer, Buffer>({ name, ...options })
    this.#blocks = this.#root.openDB<Buffer, Uint8Array>({ name: 'blocks', ...options })
    this.#packs = table('packs')
    this.#retired = table('retired')
    this.#state = table('state')
  }

  get (multihash: Uint8Array): Location | undefined {
    // The buffer of LMDB is shared by all calls, so the place is decoded at once.
    const place = this.#blocks.getBinaryFast(multihash)
    return place === undefined ? undefined : decodeLocation(place)
  }

  entriesAfter (after: Uint8Array | undefined, count: number): Array<readonly [Buffer, Location]> {
    const range = after === undefined ? { limit: count } : { start: after, exclusiveStart: true, limit: count }
    return Array.from(this.#blocks.getRange(range), ({ key, value }) => [Buffer.from(key), decodeLocation(value)] as const)
  }

  packs (): PackInfo[] {
    return Array.from(this.#packs.getRange(), ({ value }) => decodePackInfo(value))
  }

  retiredPacks (): number[] {
    return Array.from(this.#retired.getKeys(), (key) => key.readUInt32BE(0)).filter((number) => number >= 1 && number <= MAX_PACK_NUMBER)
  }

  state (): IndexState | undefined {
    const bytes = this.#state.get(STATE_KEY)
    if (bytes === undefined || bytes.byteLength !== 21 || bytes.readUInt32LE(0) !== INDEX_FORMAT_VERSION) return undefined
    return { storeId: Uint8Array.from(bytes.subarray(5)), isWhole: bytes[4] === 1 }
  }

  async commit ({ changes, packs, removedPacks }: IndexBatch, storeId: Uint8Array): Promise<void> {
    await explained(this.#path, async () => {
      for (const step of inSteps(changes)) {
        await this.#root.batch(() => {
          void this.#state.put(STATE_KEY, encodeState(storeId, false))
          for (const [key, place] of step) {
            const multihash = Buffer.from(key, 'latin1')
            if (place === undefined) void this.#blocks.remove(multihash)
            else void this.#blocks.put(multihash, encodeLocation(place))
          }
        })
      }
      await this.#root.batch(() => {
        for (const pack of packs) void this.#packs.put(packKey(pack.number), encodePackInfo(pack))
        for (const number of removedPacks) {
          void this.#packs.remove(packKey(number))
          void this.#retired.put(packKey(number), Buffer.alloc(1))
        }
        void this.#state.put(STATE_KEY, encodeState(storeId, true))
      })
      await this.#root.flushed
    })
    // What was just committed is seen by the next `get`, also in this turn of the event loop.
    this.#root.resetReadTxn()
  }

  async forget (numbers: readonly number[]): Promise<void> {
    await explained(this.#path, async () => {
      await this.#root.batch(() => {
        for (const number of numbers) void this.#retired.remove(packKey(number))
      })
      await this.#root.flushed
    })
  }

  async byteLength (): Promise<number> {
    return (await stat(this.#path)).size
  }

  async [Symbol.asyncDispose] (): Promise<void> {
    await this.#root.close()
  }
}

function * inSteps<T> (changes: Iterable<T>): Generator<T[]> {
  let step: T[] = []
  for (const change of changes) {
    step.push(change)
    if (step.length < ENTRIES_PER_STEP) continue
    yield step
    step = []
  }
  if (step.length > 0) yield step
}

/** Big-endian, so that packs are listed by number. */
function packKey (number: number): Buffer {
  const key = Buffer.alloc(4)
  key.writeUInt32BE(number)
  return key
}

function encodeState (storeId: Uint8Array, isWhole: boolean): Buffer {
  const bytes = Buffer.alloc(21)
  bytes.writeUInt32LE(INDEX_FORMAT_VERSION)
  bytes[4] = isWhole ? 1 : 0
  bytes.set(storeId, 5)
  return bytes
}

const PACK_FIELDS = ['number', 'byteLength', 'marksByteLength', 'blockCount', 'blockBytes', 'liveBytes', 'quarantinedCount'] as const

function encodePackInfo (info: PackInfo): Buffer {
  const bytes = Buffer.alloc(PACK_FIELDS.length * 8)
  for (const [index, field] of PACK_FIELDS.entries()) bytes.writeDoubleLE(info[field], index * 8)
  return bytes
}

function decodePackInfo (bytes: Buffer): PackInfo {
  const numbers = PACK_FIELDS.map((_, index) => index * 8 + 8 <= bytes.byteLength ? bytes.readDoubleLE(index * 8) : -1)
  if (!numbers.every((number) => Number.isSafeInteger(number) && number >= 0)) throw new HoldfastError('CORRUPT', 'Index of the packs is damaged: what it says of a pack makes no sense; rebuild the index')
  const [number = 0, byteLength = 0, marksByteLength = 0, blockCount = 0, blockBytes = 0, liveBytes = 0, quarantinedCount = 0] = numbers
  return { number, byteLength, marksByteLength, blockCount, blockBytes, liveBytes, quarantinedCount }
}

async function explained<T> (path: string, step: () => Promise<T>): Promise<T> {
  try {
    return await step()
  } catch (cause) {
    throw indexFailure(path, cause)
  }
}

/** LMDB tells failures apart by number: those of the system, and its own, which are negative. */
function indexFailure (path: string, cause: unknown): Error {
  if (isHoldfastError(cause)) return cause
  const failure = rootOf(cause)
  const text = failure instanceof Error ? failure.message : String(failure)
  if (/No space left|quota/i.test(text)) return new HoldfastError('LIMIT', `Index ${path} was not written: the disk is full; free some space`, { cause, path })
  if (/MDB_(INVALID|CORRUPTED|VERSION_MISMATCH|PAGE_NOTFOUND|INCOMPATIBLE|BAD_)/.test(text)) return new HoldfastError('CORRUPT', `Index ${path} is damaged: ${text}`, { cause, path })
  // The numbers of LMDB for failures of the system are those of POSIX: 5 is EIO.
  const isIoError = failure instanceof Error && 'code' in failure && failure.code === 5
  return new HoldfastError('UNAVAILABLE', `Index ${path} does not work: ${text}`, { cause, path, ...isIoError && { errno: 'EIO' } })
}

/** A failed commit rejects with "Commit failed" and has the reason beside it. */
function rootOf (cause: unknown): unknown {
  return cause instanceof Error && 'commitError' in cause ? cause.commitError : cause
}
