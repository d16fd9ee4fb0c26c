import type { BlockWriter } from '@holdfast/blockstore'
import { type AbortOptions, HoldfastError } from '@holdfast/core'
import { normalize } from '../content-path.ts'
import { chunkBytesOf, type ImportRecipe, withDefaultWidths } from '../profile.ts'
import { MAX_PATH_SEGMENTS } from '../resolve.ts'
import { BlockSink } from './block-sink.ts'
import { cutChunks } from './chunker.ts'
import { type BuiltNode, buildUnixFsNode } from './dag-builder.ts'
import { buildDirectory } from './directory-builder.ts'
import { DirectoryLinks } from './directory-links.ts'
import { buildFile } from './file-builder.ts'
import type { ImportedEntry } from './import-tree.ts'
import { hasAttributes, type ImportAttributes } from './source.ts'

/**
 * Most bytes that the names of one tree may take, each entry counted with `ENTRY_BYTES` more: a tree that comes in any order
 * is held until its last entry. A million files with names of everyday length.
 */
export const MAX_TREE_BYTES: number = 256 * 1024 * 1024

/** What an entry takes in memory beside its name, in bytes (measured: 190 to 230). */
const ENTRY_BYTES = 256

export interface TreeImportOptions extends AbortOptions {
  /** Put everything into one directory more. @default false */
  wrap?: boolean | undefined
  /** Whether directories are kept in which there is nothing but directories; those at the top always are. @default true */
  emptyDirectories?: boolean | undefined
  /** As in `ImportOptions`. @default false */
  ignoreWidthsAtTop?: boolean | undefined
  /** @default MAX_TREE_BYTES */
  maxTreeBytes?: number | undefined
  /** Awaited for every entry as soon as its DAG is built: files as they come, directories at the end. */
  onEntry?: ((entry: ImportedEntry) => Promise<void>) | undefined
}

/**
 * An import whose entries come one after the other, by path and in any order, as an upload brings them.
 *
 * Entries of one directory may lie far apart. Content is stored as it comes; of the tree only names and CIDs are held.
 * Disposing it waits for the writes that are under way.
 */
export interface TreeImport extends AsyncDisposable {
  /** Imports a file. An empty path is a root without a name. */
  file(path: readonly string[], content: AsyncIterable<Uint8Array>, attributes?: ImportAttributes): Promise<void>
  /** Imports a symlink. Its mode means nothing and is not kept. */
  symlink(path: readonly string[], target: Uint8Array, attributes?: ImportAttributes): Promise<void>
  /** Makes a directory, also an empty one. One that is there already gets the attributes. */
  directory(path: readonly string[], attributes?: ImportAttributes): void
  /**
   * Builds the directories and returns the roots: the one directory around everything, or each entry of the top level.
   *
   * Everything is as durable as the writer makes it when this resolves.
   */
  finish(): Promise<ImportedEntry[]>
}

/**
 * Opens an import of entries that come in any order.
 *
 * @throws (its methods) `INVALID` for a name that cannot be in a directory or that is a file and a directory, `LIMIT` for a tree that
 * is too large to hold, and what the content and the writer throw.
 */
export function openTreeImport (writer: BlockWriter, recipe: ImportRecipe, options: TreeImportOptions = {}): TreeImport {
  return new PathTreeImport(new BlockSink(writer, { signal: options.signal, chunkBytes: chunkBytesOf(recipe) }), recipe, options)
}

interface Directory {
  readonly kind: 'directory'
  readonly children: Map<string, Directory | Leaf>
  attributes: ImportAttributes
}

interface Leaf {
  readonly kind: 'leaf'
  readonly entry: ImportedEntry
}

class PathTreeImport implements TreeImport {
  readonly #sink: BlockSink
  readonly #recipe: ImportRecipe
  readonly #options: TreeImportOptions & { readonly maxTreeBytes: number }
  readonly #top: Directory = newDirectory()
  #treeBytes = 0

  constructor (sink: BlockSink, recipe: ImportRecipe, options: TreeImportOptions) {
    this.#sink = sink
    this.#recipe = recipe
    this.#options = { ...options, maxTreeBytes: options.maxTreeBytes ?? MAX_TREE_BYTES }
  }

  async file (path: readonly string[], content: AsyncIterable<Uint8Array>, attributes: ImportAttributes = {}): Promise<void> {
    const names = this.#checked(path)
    this.#reserve(names.join('/').length)
    const node = await buildFile(this.#chunks(content), this.#recipe, this.#sink, attributes)
    await this.#put(names, 'file', node)
  }

  async symlink (path: readonly string[], target: Uint8Array, { mtime }: ImportAttributes = {}): Promise<void> {
    const names = this.#checked(path)
    this.#reserve(names.join('/').length)
    await this.#put(names, 'symlink', await buildUnixFsNode({ type: 'symlink', data: target, mtime }, [], this.#recipe, this.#sink))
  }

  directory (path: readonly string[], attributes: ImportAttributes = {}): void {
    const names = this.#checked(path)
    if (names.length > 0 && hasAttributes(attributes)) this.#directoryAt(names).attributes = attributes
    else this.#directoryAt(names)
  }

  async finish (): Promise<ImportedEntry[]> {
    const whole = this.#options.wrap === true ? await this.#build('', this.#top, true) : undefined
    const roots = whole === undefined ? [...(await this.#buildAll(this.#top, '', true)).values()] : [whole]
    await this.#sink.flush()
    return roots
  }

  async [Symbol.asyncDispose] (): Promise<void> {
    await this.#sink.settle()
  }

  #checked (path: readonly string[]): string[] {
    const names = normalize(path)
    if (names.length > MAX_PATH_SEGMENTS) throw new HoldfastError('LIMIT', `A path of ${names.length} segments is too deep; at most ${MAX_PATH_SEGMENTS} are taken`)
    return names
  }

  /** Accounts for an entry that will be held, with its text of so many characters. */
  #reserve (characters: number): void {
    this.#treeBytes += 2 * characters + ENTRY_BYTES
    if (this.#treeBytes > this.#options.maxTreeBytes) throw new HoldfastError('LIMIT', `The tree is too large to be added at once: its names take more than ${this.#options.maxTreeBytes} bytes. Add parts of it`)
  }

  async * #chunks (content: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
    for await (const chunk of cutChunks(content, this.#recipe.chunking, this.#sink.buffers)) {
      this.#options.signal?.throwIfAborted()
      yield chunk
    }
  }

  async #put (names: readonly string[], kind: 'file' | 'symlink', { cid, byteLength, tsize }: BuiltNode): Promise<void> {
    const name = names.at(-1) ?? cid.toString()
    const siblings = this.#directoryAt(names.slice(0, -1)).children
    if (siblings.get(name)?.kind === 'directory') throw bothKinds(names)
    const entry = { kind, path: names.join('/'), cid, byteLength, tsize }
    // The last of two files with one name stays, as on a disk.
    siblings.set(name, { kind: 'leaf', entry })
    await this.#options.onEntry?.(entry)
  }

  #directoryAt (names: readonly string[]): Directory {
    let directory = this.#top
    for (const name of names) {
      const child = directory.children.get(name) ?? this.#newDirectoryIn(directory, name)
      if (child.kind === 'leaf') throw bothKinds(names)
      directory = child
    }
    return directory
  }

  #newDirectoryIn (parent: Directory, name: string): Directory {
    this.#reserve(name.length)
    const directory = newDirectory()
    parent.children.set(name, directory)
    return directory
  }

  /** Builds what is in a directory, by name. With `isTop` no directory is around these. */
  async #buildAll (directory: Directory, path: string, isTop = false): Promise<Map<string, ImportedEntry>> {
    const entries = new Map<string, ImportedEntry>()
    for (const [name, child] of directory.children) {
      this.#options.signal?.throwIfAborted()
      const entry = child.kind === 'leaf' ? child.entry : await this.#build(path === '' ? name : `${path}/${name}`, child, isTop)
      if (entry !== undefined) entries.set(name, entry)
    }
    return entries
  }

  async #build (path: string, directory: Directory, isTop: boolean): Promise<ImportedEntry | undefined> {
    const entries = await this.#buildAll(directory, path)
    if (entries.size === 0 && !isTop && this.#options.emptyDirectories === false) return undefined
    const links = new DirectoryLinks()
    for (const [name, { cid, tsize }] of entries) links.add({ cid, tsize, name: Buffer.from(name) })
    const recipe = isTop && this.#options.ignoreWidthsAtTop === true ? withDefaultWidths(this.#recipe) : this.#recipe
    const { cid, tsize } = await buildDirectory(links, recipe, this.#sink, directory.attributes)
    const byteLength = entries.values().reduce((sum, entry) => sum + entry.byteLength, 0)
    const entry = { kind: 'directory' as const, path, cid, tsize, byteLength }
    await this.#options.onEntry?.(entry)
    return entry
  }
}

function newDirectory (): Directory {
  return { kind: 'directory', children: new Map(), attributes: {} }
}

function bothKinds (names: readonly string[]): HoldfastError {
  return new HoldfastError('INVALID', `${JSON.stringify(names.join('/'))} cannot be a file and a directory at the same time`)
}
