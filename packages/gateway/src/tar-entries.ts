/**
 * The entries of a UnixFS tree as they go into a TAR, in an order and under names that are safe to unpack.
 *
 * Names come from content, and whoever unpacks the archive trusts them: nothing may land outside of
 * the top entry, neither by `..` nor through a symlink that the archive made before.
 *
 * @see IPIP-0288, https://specs.ipfs.tech/ipips/ipip-0288/
 */
import type { BlockReader } from '@holdfast/blockstore'
import { type AbortOptions, HoldfastError } from '@holdfast/core'
import { type DagEntry, type DirectoryEntry, listDirectory, openEntry } from '@holdfast/dag'
import type { CID } from 'multiformats/cid'
import { hash } from 'node:crypto'
import { MAX_TAR_DEPTH, MAX_TAR_PATH_BYTES, MAX_TAR_SYMLINKS } from './limits.ts'

/** A file, directory or symlink; all that UnixFS knows. */
export type UnixFsEntry = DagEntry & { readonly kind: 'file' | 'directory' | 'symlink' }

export interface TarEntry {
  /** Path in the archive, the name of the tree first. */
  readonly path: string
  readonly entry: UnixFsEntry
}

export interface TarEntryOptions extends AbortOptions {
  readonly maxEntryCount: number
  /** Name of the top entry. @default its CID */
  readonly name?: string | undefined
}

/**
 * Yields the tree below `root`, parents first, reading directories as they come up.
 *
 * @throws `INVALID` for a name that leads out of the tree, is not UTF-8 or passes through a symlink; `UNSUPPORTED`
 * for an entry that is not UnixFS; `LIMIT` for too many entries or too deep a tree.
 */
export async function * tarEntries (blocks: BlockReader, root: UnixFsEntry, { maxEntryCount, name, signal }: TarEntryOptions): AsyncIterable<TarEntry> {
  const top = root.cid.toString()
  if (name !== undefined && (name === '' || name === '.' || name === '..' || /[/\\\0]/.test(name))) throw unsafe(name, top)
  const symlinks = new SymlinkPaths()
  const open: Array<{ readonly path: readonly string[], readonly children: AsyncIterator<DirectoryEntry> }> = []
  let entryCount = 0

  async function * visit (path: readonly string[], entry: UnixFsEntry): AsyncIterable<TarEntry> {
    if (++entryCount > maxEntryCount) throw new HoldfastError('LIMIT', `TAR of ${top} has more than ${maxEntryCount} entries`, { root: top, maxEntryCount })
    symlinks.requireNoneOn(path)
    if (entry.kind === 'symlink') symlinks.add(path)
    yield { path: [name ?? top, ...path].join('/'), entry }
    if (entry.kind === 'directory') {
      if (open.length === MAX_TAR_DEPTH) throw new HoldfastError('LIMIT', `TAR of ${top} is nested deeper than ${MAX_TAR_DEPTH} levels`, { root: top })
      open.push({ path, children: listDirectory(blocks, entry.cid, { signal })[Symbol.asyncIterator]() })
    }
  }

  try {
    yield * visit([], root)
    for (let directory = open.at(-1); directory !== undefined; directory = open.at(-1)) {
      signal?.throwIfAborted()
      const next = await directory.children.next()
      if (next.done === true) open.pop()
      else yield * visit(pathBelow(directory.path, next.value, top), await requireUnixFs(blocks, next.value.cid, { signal }))
    }
  } finally {
    for (const { children } of open) await children.return?.()
  }
}

/** Returns the entry behind a CID when UnixFS can hold it. @throws `UNSUPPORTED` when not. */
async function requireUnixFs (blocks: BlockReader, cid: CID, options: AbortOptions): Promise<UnixFsEntry> {
  const entry = await openEntry(blocks, cid, options)
  if (isUnixFs(entry)) return entry
  throw new HoldfastError('UNSUPPORTED', `TAR cannot hold ${cid}: it is not UnixFS`, { cid: cid.toString(), tip: 'Ask for ?format=car, which holds everything.' })
}

/** Reports whether an entry can stand in a TAR. */
export function isUnixFs (entry: DagEntry): entry is UnixFsEntry {
  return entry.kind === 'file' || entry.kind === 'directory' || entry.kind === 'symlink'
}

/** Resolves the name of an entry against its directory: a name may hold slashes and dots as long as it stays inside. */
function pathBelow (directory: readonly string[], { name, nameBytes }: DirectoryEntry, top: string): string[] {
  const path = [...directory]
  // Two names that are not UTF-8 would unpack as one.
  if (name.startsWith('/') || name.includes('\0') || !Buffer.from(name).equals(nameBytes)) throw unsafe(name, top)
  for (const part of name.split('/')) {
    if (part === '..') {
      if (path.pop() === undefined) throw unsafe(name, top)
    } else if (part.split('\\').includes('..')) {
      throw unsafe(name, top) // Unpacked on Windows, where a backslash separates.
    } else if (part !== '' && part !== '.') {
      path.push(part)
    }
  }
  if (path.length === 0) throw unsafe(name, top)
  if (Buffer.byteLength(path.join('/')) > MAX_TAR_PATH_BYTES) throw new HoldfastError('LIMIT', `TAR of ${top} would have a path longer than ${MAX_TAR_PATH_BYTES} bytes`, { root: top })
  return path
}

/**
 * The paths of the symlinks in an archive.
 *
 * A later entry with such a path, or one below it, would be written to wherever the symlink points. Paths are
 * compared as the most forgiving file systems do: without case, and in one Unicode form.
 */
class SymlinkPaths {
  /** Hashes: a path may be long, and a hostile tree may repeat many. */
  readonly #paths = new Set<string>()

  add (path: readonly string[]): void {
    if (this.#paths.size === MAX_TAR_SYMLINKS) throw new HoldfastError('LIMIT', `TAR would have more than ${MAX_TAR_SYMLINKS} symlinks`)
    this.#paths.add(keyOf(path))
  }

  requireNoneOn (path: readonly string[]): void {
    if (this.#paths.size === 0) return
    for (let length = 1; length <= path.length; length++) {
      if (!this.#paths.has(keyOf(path.slice(0, length)))) continue
      throw new HoldfastError('INVALID', `TAR cannot hold ${JSON.stringify(path.join('/'))}: ${JSON.stringify(path.slice(0, length).join('/'))} is a symlink before it`)
    }
  }
}

function keyOf (path: readonly string[]): string {
  return hash('sha256', path.join('/').normalize('NFKC').toLowerCase(), 'base64url')
}

function unsafe (name: string, top: string): HoldfastError {
  return new HoldfastError('INVALID', `TAR of ${top} cannot hold an entry named ${JSON.stringify(name)}: it would be unpacked elsewhere`, { tip: 'Ask for ?format=car, which keeps all names as they are.' })
}
