import type { BlockWriter } from '@holdfast/blockstore'
import type { AbortOptions, DagPbLink } from '@holdfast/core'
import type { CID } from 'multiformats/cid'
import type { ImportRecipe } from '../profile.ts'
import { BlockSink } from './block-sink.ts'
import { cutFixed } from './chunker.ts'
import { type BuiltNode, buildUnixFsNode } from './dag-builder.ts'
import { buildDirectory } from './directory-builder.ts'
import { buildFile } from './file-builder.ts'
import { Slots } from './slots.ts'
import type { DirectorySource, FileSource, ImportSource, SymlinkSource } from './source.ts'

/** Files of one import that are read at the same time: small ones spend most of their time waiting. */
export const CONCURRENT_FILES = 16

/** One file, directory or symlink that was imported. */
export interface ImportedEntry {
  readonly kind: ImportSource['kind']
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
  /** Leave out directories in which nothing was found to import. @default true */
  emptyDirectories?: boolean | undefined
  /** Put the sources into one directory more. @default false */
  wrap?: boolean | undefined
  /** Awaited for every entry as soon as its DAG is built, children before their directory. */
  onEntry?: ((entry: ImportedEntry) => Promise<void>) | undefined
  /** Called for every chunk. Cumulative. */
  onProgress?: ((progress: ImportProgress) => void) | undefined
}

/**
 * Imports files and trees and returns an entry for each source, or the one directory around them.
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
  const sink = new BlockSink(writer, { signal })
  const run = new ImportRun(sink, recipe, failed, { ...options, signal })
  try {
    const entries = options.wrap === true
      ? [await run.directory('', '', async function * () { yield * sources }())]
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
  async put () {},
  async putMany () {}
}

class ImportRun {
  readonly #sink: BlockSink
  readonly #recipe: ImportRecipe
  readonly #failed: AbortController
  readonly #options: ImportOptions
  readonly #slots = new Slots(CONCURRENT_FILES)
  readonly #running = new Set<Promise<void>>()
  #byteLength = 0
  #fileCount = 0

  constructor (sink: BlockSink, recipe: ImportRecipe, failed: AbortController, options: ImportOptions) {
    this.#sink = sink
    this.#recipe = recipe
    this.#failed = failed
    this.#options = options
  }

  async roots (sources: readonly ImportSource[]): Promise<ImportedEntry[]> {
    const entries: ImportedEntry[] = []
    for (const source of sources) entries.push(await this.#root(source))
    return entries
  }

  async #root (source: ImportSource): Promise<ImportedEntry> {
    if (source.kind !== 'directory') return await this.#leaf(source, '')
    const path = textOf(source.name)
    return await this.directory(path, path, source.entries(this.#options.signal))
  }

  /** Resolves when no file of this import is being read any more. */
  async settle (): Promise<void> {
    await Promise.all(this.#running)
  }

  /** Imports the entries of a directory: files beside one another, directories one after the other. */
  async directory (path: string, prefix: string, sources: AsyncIterable<ImportSource>): Promise<ImportedEntry> {
    const links: DagPbLink[] = []
    const leaves: Array<Promise<void>> = []
    let byteLength = 0
    const add = (name: Uint8Array, entry: ImportedEntry): void => {
      links.push({ cid: entry.cid, name, tsize: entry.tsize })
      byteLength += entry.byteLength
    }
    for await (const source of sources) {
      this.#options.signal?.throwIfAborted()
      if (source.kind === 'directory') {
        const child = await this.#subdirectory(source, prefix)
        if (child !== undefined) add(source.name, child)
      } else {
        await this.#slots.acquire()
        leaves.push(this.#beside(async () => { add(source.name, await this.#leaf(source, prefix)) }))
      }
    }
    await Promise.all(leaves)
    this.#options.signal?.throwIfAborted()
    const node = await buildDirectory(links, this.#recipe, this.#sink)
    return await this.#done('directory', path, { ...node, byteLength })
  }

  /** Runs a task in the slot that was acquired for it; its failure ends the whole import. */
  #beside (task: () => Promise<void>): Promise<void> {
    const running = task()
      .catch((reason: unknown) => { this.#failed.abort(reason) })
      .finally(() => {
        this.#running.delete(running)
        this.#slots.release()
      })
    this.#running.add(running)
    return running
  }

  async #subdirectory (source: DirectorySource, prefix: string): Promise<ImportedEntry | undefined> {
    const path = join(prefix, source.name)
    const entries = source.entries(this.#options.signal)
    if (this.#options.emptyDirectories !== false) return await this.directory(path, path, entries)
    const filled = await skipEmpty(entries)
    return filled === undefined ? undefined : await this.directory(path, path, filled)
  }

  async #leaf (source: FileSource | SymlinkSource, prefix: string): Promise<ImportedEntry> {
    const path = join(prefix, source.name)
    if (source.kind === 'symlink') {
      const node = await buildUnixFsNode({ type: 'symlink', data: source.target }, [], this.#recipe, this.#sink)
      return await this.#done('symlink', path, node)
    }
    const node = await buildFile(this.#counted(source), this.#recipe, this.#sink)
    this.#fileCount++
    return await this.#done('file', path, node)
  }

  async * #counted (source: FileSource): AsyncIterable<Uint8Array> {
    const { signal } = this.#options
    for await (const chunk of cutFixed(source.open(signal), this.#recipe.chunkBytes)) {
      signal?.throwIfAborted()
      this.#byteLength += chunk.byteLength
      yield chunk
      this.#report()
    }
  }

  async #done (kind: ImportSource['kind'], path: string, { cid, byteLength, tsize }: BuiltNode): Promise<ImportedEntry> {
    const entry = { kind, path, cid, byteLength, tsize }
    await this.#options.onEntry?.(entry)
    this.#report()
    return entry
  }

  #report (): void {
    this.#options.onProgress?.({ byteLength: this.#byteLength, fileCount: this.#fileCount, blockCount: this.#sink.blockCount })
  }
}

/** Returns the same entries, or `undefined` when there are none. */
async function skipEmpty (entries: AsyncIterable<ImportSource>): Promise<AsyncIterable<ImportSource> | undefined> {
  const iterator = entries[Symbol.asyncIterator]()
  const first = await iterator.next()
  if (first.done === true) return undefined
  return (async function * () {
    yield first.value
    yield * { [Symbol.asyncIterator]: () => iterator }
  })()
}

function join (prefix: string, name: Uint8Array): string {
  return prefix === '' ? textOf(name) : `${prefix}/${textOf(name)}`
}

function textOf (name: Uint8Array): string {
  return Buffer.from(name.buffer, name.byteOffset, name.byteLength).toString()
}
