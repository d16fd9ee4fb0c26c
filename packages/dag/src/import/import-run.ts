import { type ImportRecipe, withDefaultWidths } from '../profile.ts'
import type { BlockSink } from './block-sink.ts'
import { cutChunks, shortestChunkBytes } from './chunker.ts'
import { type BuiltNode, buildUnixFsNode } from './dag-builder.ts'
import { buildDirectory } from './directory-builder.ts'
import { DirectoryLinks } from './directory-links.ts'
import { buildFile, buildShortFile } from './file-builder.ts'
import type { ImportedEntry, ImportOptions } from './import-tree.ts'
import { ShortFiles } from './short-files.ts'
import { Slots } from './slots.ts'
import type { DirectorySource, FileSource, ImportAttributes, ImportSource, SymlinkSource } from './source.ts'

/** Files of one import that are open at the same time: small ones spend most of their time waiting. */
export const CONCURRENT_FILES = 16

/** Entries of one import that are under way at the same time, those that wait for their file among them; of short files their content is held. */
const CONCURRENT_ENTRIES = 256

/** Directories of one import that are gone through beside the one above them. */
const CONCURRENT_DIRECTORIES = 8

/** Whether reading a source failed, as opposed to building or storing what was read. */
interface Reading {
  failed: boolean
}

/** One import of trees from the top down, with the files that are read at the same time. */
export class ImportRun {
  readonly #sink: BlockSink
  readonly #recipe: ImportRecipe
  readonly #failed: AbortController
  readonly #options: ImportOptions
  readonly #files = new Slots(CONCURRENT_FILES)
  readonly #entries = new Slots(CONCURRENT_ENTRIES)
  readonly #directories = new Slots(CONCURRENT_DIRECTORIES)
  readonly #shortFiles = new ShortFiles()
  readonly #running = new Set<Promise<void>>()
  /** Content of so many bytes is never cut. */
  readonly #oneChunkBytes: number
  #byteLength = 0
  #fileCount = 0

  constructor (sink: BlockSink, recipe: ImportRecipe, failed: AbortController, options: ImportOptions) {
    this.#sink = sink
    this.#recipe = recipe
    this.#failed = failed
    this.#options = options
    this.#oneChunkBytes = shortestChunkBytes(recipe.chunking)
    // Whatever a disk does not answer is not waited for.
    options.signal?.addEventListener('abort', () => { this.#shortFiles[Symbol.dispose]() }, { once: true })
  }

  /** Imports the sources one after the other; those that cannot be read are left out. */
  async roots (sources: readonly ImportSource[]): Promise<ImportedEntry[]> {
    const entries: ImportedEntry[] = []
    for (const source of sources) {
      const entry = await this.#entry(source, '', true)
      if (entry !== undefined) entries.push(entry)
    }
    return entries
  }

  /** Imports the sources into one directory without a name. */
  async wrapped (sources: readonly ImportSource[]): Promise<ImportedEntry> {
    const entry = await this.#contents('', async function * () { yield * sources }(), true)
    if (entry === undefined) throw new Error('A directory at the top is kept, also when it is empty')
    return entry
  }

  /** Resolves when no file of this import is being read any more. */
  async settle (): Promise<void> {
    this.#shortFiles[Symbol.dispose]()
    await Promise.all(this.#running)
  }

  async #entry (source: ImportSource, prefix: string, isRoot: boolean): Promise<ImportedEntry | undefined> {
    const path = join(prefix, source.name)
    const reading: Reading = { failed: false }
    try {
      switch (source.kind) {
        case 'directory': return await this.#contents(path, this.#listed(source, reading), isRoot, source.attributes)
        case 'symlink': return await this.#symlink(path, source)
        case 'file': return await this.#file(path, source, reading)
        case 'unreadable':
          reading.failed = true
          throw source.reason
      }
    } catch (reason) {
      if (!reading.failed || this.#options.onUnreadable === undefined) throw reason
      await this.#options.onUnreadable(path, reason)
      return undefined
    }
  }

  /** Imports what is in a directory, many entries beside one another; of the directories only some. */
  async #contents (path: string, sources: AsyncIterable<ImportSource>, isRoot: boolean, attributes?: ImportAttributes): Promise<ImportedEntry | undefined> {
    const links = new DirectoryLinks()
    const under = new Set<Promise<void>>()
    let byteLength = 0
    const add = async (source: ImportSource): Promise<void> => {
      const entry = await this.#entry(source, path, false)
      if (entry === undefined) return
      links.add({ cid: entry.cid, name: source.name, tsize: entry.tsize })
      byteLength += entry.byteLength
    }
    for await (const source of sources) {
      this.#options.signal?.throwIfAborted()
      const slots = source.kind === 'directory' ? this.#directories : this.#entries
      // A directory that found no slot keeps the walk: whoever has one never waits for another.
      if (slots === this.#entries) await slots.acquire()
      else if (!slots.tryAcquire()) {
        await add(source)
        continue
      }
      const running = this.#beside(slots, async () => { await add(source) })
      under.add(running)
      void running.then(() => { under.delete(running) })
    }
    await Promise.all(under)
    this.#options.signal?.throwIfAborted()
    if (links.count === 0 && !isRoot && this.#options.emptyDirectories === false) return undefined
    const recipe = isRoot && this.#options.ignoreWidthsAtTop === true ? withDefaultWidths(this.#recipe) : this.#recipe
    const node = await buildDirectory(links, recipe, this.#sink, attributes)
    return await this.#done('directory', path, { ...node, byteLength })
  }

  /** Runs a task in the slot that was acquired for it; its failure ends the whole import. */
  #beside (slots: Slots, task: () => Promise<void>): Promise<void> {
    const running = task()
      .catch((reason: unknown) => { this.#failed.abort(reason) })
      .finally(() => {
        this.#running.delete(running)
        slots.release()
      })
    this.#running.add(running)
    return running
  }

  async * #listed (source: DirectorySource, reading: Reading): AsyncIterable<ImportSource> {
    try {
      yield * source.entries(this.#options.signal)
    } catch (reason) {
      this.#options.signal?.throwIfAborted()
      reading.failed = true
      throw reason
    }
  }

  async #symlink (path: string, { target, attributes }: SymlinkSource): Promise<ImportedEntry> {
    return await this.#done('symlink', path, await buildUnixFsNode({ type: 'symlink', data: target, mtime: attributes?.mtime }, [], this.#recipe, this.#sink))
  }

  async #file (path: string, source: FileSource, reading: Reading): Promise<ImportedEntry> {
    const content = source.path === undefined ? undefined : await this.#short(source.path, reading)
    const node = content === undefined
      ? await this.#streamed(source, reading)
      : await buildShortFile(content, this.#recipe, this.#sink, source.attributes)
    this.#fileCount++
    return await this.#done('file', path, node)
  }

  /** Content of a file that is one chunk at most, when it was read with others. */
  async #short (path: Buffer, reading: Reading): Promise<Uint8Array | undefined> {
    try {
      const content = await this.#shortFiles.read(path)
      this.#options.signal?.throwIfAborted()
      if (content === undefined || content.byteLength > this.#oneChunkBytes) return undefined
      this.#byteLength += content.byteLength
      return content
    } catch (reason) {
      this.#options.signal?.throwIfAborted()
      reading.failed = true
      throw reason
    }
  }

  async #streamed (source: FileSource, reading: Reading): Promise<BuiltNode> {
    await this.#files.acquire()
    try {
      return await buildFile(this.#chunks(source, reading), this.#recipe, this.#sink, source.attributes)
    } finally {
      this.#files.release()
    }
  }

  async * #chunks (source: FileSource, reading: Reading): AsyncIterable<Uint8Array> {
    const { signal } = this.#options
    try {
      for await (const chunk of cutChunks(source.open(signal, this.#sink.buffers), this.#recipe.chunking, this.#sink.buffers)) {
        signal?.throwIfAborted()
        this.#byteLength += chunk.byteLength
        yield chunk
        this.#report()
      }
    } catch (reason) {
      signal?.throwIfAborted()
      reading.failed = true
      throw reason
    }
  }

  async #done (kind: ImportedEntry['kind'], path: string, { cid, byteLength, tsize }: BuiltNode): Promise<ImportedEntry> {
    const entry = { kind, path, cid, byteLength, tsize }
    await this.#options.onEntry?.(entry)
    this.#report()
    return entry
  }

  #report (): void {
    this.#options.onProgress?.({ byteLength: this.#byteLength, fileCount: this.#fileCount, blockCount: this.#sink.blockCount })
  }
}

function join (prefix: string, name: Uint8Array): string {
  return prefix === '' ? textOf(name) : `${prefix}/${textOf(name)}`
}

function textOf (name: Uint8Array): string {
  return Buffer.from(name.buffer, name.byteOffset, name.byteLength).toString()
}
