import type { BlockWriter } from '@holdfast/blockstore'
import { type AbortOptions, Block, CODECS, type DagPbLink, decodeDagPb, encodeDagPb, HoldfastError } from '@holdfast/core'
import { normalize } from '../content-path.ts'
import type { ImportRecipe } from '../profile.ts'
import { MAX_PATH_SEGMENTS } from '../resolve.ts'
import { decodeUnixFs, encodeUnixFs, type UnixFsTime } from '../unixfs.ts'
import { BlockSink } from './block-sink.ts'
import { cutFixed } from './chunker.ts'
import { type BuiltNode, buildUnixFsNode } from './dag-builder.ts'
import { buildDirectory } from './directory-builder.ts'
import { buildFile } from './file-builder.ts'
import type { ImportedEntry } from './import-tree.ts'

/**
 * Most bytes that the names of one tree may take, each entry counted with `ENTRY_BYTES` more: a tree that comes in any order
 * is held until its last entry. A million files with names of everyday length.
 */
export const MAX_TREE_BYTES: number = 256 * 1024 * 1024

/** What an entry takes in memory beside its name, in bytes (measured: 190 to 230). */
const ENTRY_BYTES = 256

/** What UnixFS 1.5 keeps beside the content. */
export interface ImportAttributes {
  readonly mode?: number | undefined
  readonly mtime?: UnixFsTime | undefined
}

export interface TreeImportOptions extends AbortOptions {
  /** Put everything into one directory more. @default false */
  wrap?: boolean | undefined
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
  return new PathTreeImport(new BlockSink(writer, options), recipe, options)
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
    // A raw block has no room for attributes: then no leaf is raw, as Kubo does it.
    const recipe = hasAttributes(attributes) ? { ...this.#recipe, rawLeaves: false } : this.#recipe
    const node = await this.#attributed(attributes, async (sink) => await buildFile(this.#chunks(content), recipe, sink))
    await this.#put(names, 'file', node)
  }

  async symlink (path: readonly string[], target: Uint8Array, attributes: ImportAttributes = {}): Promise<void> {
    const names = this.#checked(path)
    this.#reserve(names.join('/').length)
    await this.#put(names, 'symlink', await buildUnixFsNode({ type: 'symlink', data: target, ...attributes }, [], this.#recipe, this.#sink))
  }

  directory (path: readonly string[], attributes: ImportAttributes = {}): void {
    const names = this.#checked(path)
    if (names.length > 0 && hasAttributes(attributes)) this.#directoryAt(names).attributes = attributes
    else this.#directoryAt(names)
  }

  async finish (): Promise<ImportedEntry[]> {
    const roots = this.#options.wrap === true ? [await this.#build('', this.#top)] : await this.#buildAll(this.#top, '')
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
    for await (const chunk of cutFixed(content, this.#recipe.chunkBytes)) {
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

  async #buildAll (directory: Directory, path: string): Promise<ImportedEntry[]> {
    const entries: ImportedEntry[] = []
    for (const [name, child] of directory.children) {
      this.#options.signal?.throwIfAborted()
      entries.push(child.kind === 'leaf' ? child.entry : await this.#build(path === '' ? name : `${path}/${name}`, child))
    }
    return entries
  }

  async #build (path: string, directory: Directory): Promise<ImportedEntry> {
    const entries = await this.#buildAll(directory, path)
    const names = [...directory.children.keys()]
    const links: DagPbLink[] = entries.map(({ cid, tsize }, index) => ({ cid, tsize, name: Buffer.from(names[index] ?? '') }))
    const { cid, tsize } = await this.#attributed(directory.attributes, async (sink) => await buildDirectory(links, this.#recipe, sink))
    const entry = { kind: 'directory' as const, path, cid, tsize, byteLength: entries.reduce((sum, { byteLength }) => sum + byteLength, 0) }
    await this.#options.onEntry?.(entry)
    return entry
  }

  /** Builds a DAG and writes attributes into its root, which is the last block that was built. */
  async #attributed (attributes: ImportAttributes, build: (sink: Pick<BlockSink, 'add'>) => Promise<BuiltNode>): Promise<BuiltNode> {
    if (!hasAttributes(attributes)) return await build(this.#sink)
    let last: Block | undefined
    const node = await build({
      add: async (block) => {
        if (last !== undefined) await this.#sink.add(last)
        last = block
      }
    })
    if (last === undefined) throw new Error('A DAG has at least one block')
    const { links, data = new Uint8Array() } = decodeDagPb(last.bytes)
    const bytes = encodeDagPb({ links, data: encodeUnixFs({ ...decodeUnixFs(data), ...attributes }) })
    const root = await Block.of(bytes, { codec: CODECS.dagPb, hash: this.#recipe.hash, version: this.#recipe.cidVersion })
    await this.#sink.add(root)
    return { ...node, cid: root.cid, tsize: node.tsize + bytes.byteLength - last.bytes.byteLength }
  }
}

function newDirectory (): Directory {
  return { kind: 'directory', children: new Map(), attributes: {} }
}

function hasAttributes ({ mode, mtime }: ImportAttributes): boolean {
  return mode !== undefined || mtime !== undefined
}

function bothKinds (names: readonly string[]): HoldfastError {
  return new HoldfastError('INVALID', `${JSON.stringify(names.join('/'))} cannot be a file and a directory at the same time`)
}
