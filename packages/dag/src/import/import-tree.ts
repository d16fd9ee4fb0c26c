import type { BlockWriter } from '@holdfast/blockstore'
import type { AbortOptions } from '@holdfast/core'
import type { CID } from 'multiformats/cid'
import { chunkBytesOf, type ImportRecipe } from '../profile.ts'
import { BlockSink } from './block-sink.ts'
import { ImportRun } from './import-run.ts'
import type { ImportSource } from './source.ts'

/** One file, directory or symlink that was imported. */
export interface ImportedEntry {
  readonly kind: 'file' | 'directory' | 'symlink'
  /** Names from the root that was imported down to this entry, joined by `/`; empty for what has no name. */
  readonly path: string
  readonly cid: CID
  /** Bytes of content, for a directory those of everything in it. */
  readonly byteLength: number
  /** Bytes of all blocks, repeats counted. */
  readonly tsize: number
}

/** What was done so far, in all. */
export interface ImportProgress {
  readonly byteLength: number
  readonly fileCount: number
  readonly blockCount: number
}

export interface ImportOptions extends AbortOptions {
  /** Whether directories are kept in which nothing was found to import; the sources themselves always are. @default true */
  emptyDirectories?: boolean | undefined
  /** Put the sources into one directory more. @default false */
  wrap?: boolean | undefined
  /**
   * Whether the directory at the top is built without the recipe's `maxDirectoryLinks` and `hamtFanout`.
   *
   * Kubo forgets them there under `--only-hash`, and the captured vectors have its CIDs; whoever computes CIDs to compare
   * them with Kubo's needs the same. @default false
   */
  ignoreWidthsAtTop?: boolean | undefined
  /** Awaited for every entry as soon as its DAG is built, children before their directory. */
  onEntry?: ((entry: ImportedEntry) => Promise<void>) | undefined
  /**
   * Told of each entry that could not be read, and awaited; it is left out, and the import goes on. Without it the first one ends the import.
   *
   * The path leads from the root that was imported. A directory that cannot be listed to its end is left out as a whole.
   */
  onUnreadable?: ((path: string, reason: unknown) => Promise<void>) | undefined
  /** Called for every chunk. Cumulative. */
  onProgress?: ((progress: ImportProgress) => void) | undefined
}

/**
 * Imports files and trees and returns an entry for each source that could be read, or the one directory around them.
 *
 * Every block is as durable as the writer makes it when this resolves. Memory stays bounded by
 * the sink and by `CONCURRENT_FILES` chunks, whatever the length of the files; a directory is held
 * until its last entry is known. When it rejects, blocks may have been written but nothing refers to them.
 *
 * @throws `INVALID` for names that cannot be in a directory, and whatever sources and writer throw.
 */
export async function importSources (writer: BlockWriter, sources: readonly ImportSource[], recipe: ImportRecipe, options: ImportOptions = {}): Promise<ImportedEntry[]> {
  const failed = new AbortController()
  const signal = options.signal === undefined ? failed.signal : AbortSignal.any([options.signal, failed.signal])
  const sink = new BlockSink(writer, { signal, chunkBytes: chunkBytesOf(recipe) })
  const run = new ImportRun(sink, recipe, failed, { ...options, signal })
  try {
    const entries = options.wrap === true
      ? [await run.wrapped(sources)]
      : await run.roots(sources)
    await sink.flush()
    return entries
  } catch (reason) {
    failed.abort(reason)
    throw signal.reason
  } finally {
    await run.settle()
    await sink.settle()
  }
}

/** Imports one file that has no name: standard input, or bytes at hand. */
export async function importBytes (writer: BlockWriter, content: AsyncIterable<Uint8Array>, recipe: ImportRecipe, options: ImportOptions = {}): Promise<ImportedEntry> {
  const [entry] = await importSources(writer, [{ kind: 'file', name: new Uint8Array(), open: () => content }], recipe, options)
  if (entry === undefined) throw new Error('An import of one source has one root')
  return entry
}

/** A writer that keeps nothing: for `--only-hash`. */
export const discardingWriter: BlockWriter = {
  releasesBytes: true,
  async put () {},
  async putMany () {}
}
