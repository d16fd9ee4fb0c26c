import type { Journal } from '../journal/journal.ts'
import type { FetchCache } from './fetch-cache.ts'

/** What a few records need at most, in bytes: several pages of the file system. */
const RECORDS_BYTES: number = 64 * 1024

/** A journal for whose records cached blocks make room when the disk is full. It stays the caller's to close. */
export function roomyJournal (journal: Journal, cache: Pick<FetchCache, 'withRoom'>): Journal {
  return {
    append: (records) => cache.withRoom(RECORDS_BYTES, () => journal.append(records)),
    replay: () => journal.replay(),
    compact: (records, options) => journal.compact(records, options),
    get byteLength () { return journal.byteLength },
    async [Symbol.asyncDispose] () {}
  }
}
