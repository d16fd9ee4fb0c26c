import type { BlockReader } from '@holdfast/blockstore'
import { type AbortOptions, HoldfastError } from '@holdfast/core'
import { type DagEntry, parseContentPath } from '@holdfast/dag'
import { isUnixFs, tarEntries, tarStream } from '@holdfast/gateway'
import { pipeline, Readable } from 'node:stream'
import { createGzip } from 'node:zlib'
import { printedContent } from './read.ts'

/** Most entries of one archive, as the gateway bounds its own. */
const MAX_ENTRIES: number = 1024 * 1024

/** What gzip itself takes. */
export const DEFAULT_COMPRESSION_LEVEL = 6

export interface ArchiveOptions extends AbortOptions {
  /** The path that led to the entry: its last name is that of the tree in the archive. */
  readonly path: string
  readonly archive?: boolean | undefined
  readonly compress?: boolean | undefined
  readonly compressionLevel?: number | undefined
  readonly signal: AbortSignal
}

/**
 * Returns a TAR of an entry, compressed when asked for, or with `compress` and without `archive` the one file compressed.
 *
 * @throws `UNSUPPORTED` for what is not UnixFS, `INVALID` for a directory that is to be compressed alone.
 */
export function archiveOf (blocks: BlockReader, entry: DagEntry, { path, archive, compress, compressionLevel = DEFAULT_COMPRESSION_LEVEL, signal }: ArchiveOptions): AsyncIterable<Uint8Array> {
  if (!isUnixFs(entry)) throw new HoldfastError('UNSUPPORTED', `Cannot get ${path}: it is not UnixFS. Use block get or dag get`, { path })
  const isBare = compress === true && archive !== true
  if (isBare && entry.kind !== 'file') throw new HoldfastError('INVALID', `Cannot compress ${path} alone: it is no file. Ask for an archive`, { path })
  const name = parseContentPath(path).segments.at(-1)
  const bytes = isBare
    ? printedContent(blocks, entry, { offset: 0, signal })
    : tarStream(blocks, tarEntries(blocks, entry, { signal, maxEntryCount: MAX_ENTRIES, ...(name === undefined ? {} : { name }) }), { signal })
  return compress === true ? gzipped(bytes, compressionLevel) : bytes
}

async function * gzipped (bytes: AsyncIterable<Uint8Array>, level: number): AsyncIterable<Uint8Array> {
  const gzip = createGzip({ level })
  // A failure of the source reaches the reader through the stream that it destroys.
  pipeline(Readable.from(bytes, { objectMode: false }), gzip, () => {})
  yield * gzip
}
