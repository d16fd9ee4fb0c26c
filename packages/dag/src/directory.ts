import type { BlockReader } from '@holdfast/blockstore'
import { type AbortOptions, type Block, type DagPbLink, HoldfastError } from '@holdfast/core'
import type { CID } from 'multiformats/cid'
import { requireBlock } from './entry.ts'
import { findInHamt, type HamtLookup, listHamt } from './hamt-reader.ts'
import { shardOf } from './hamt-shard.ts'
import { type UnixFsNode, unixFsNodeOf } from './unixfs-node.ts'

/** One entry of a UnixFS directory, basic or sharded. */
export interface DirectoryEntry {
  /** The name as text; bytes that are not UTF-8 show as U+FFFD, so compare `nameBytes`. */
  readonly name: string
  /** The name as it lies in the block, without the slot of a HAMT. */
  readonly nameBytes: Uint8Array
  readonly cid: CID
  /** Bytes of all blocks below, as the writer of the directory claims. */
  readonly tsize: number | undefined
}

/** What `findEntry` found and read. */
export interface EntryLookup {
  /** `undefined` when the directory has no entry of that name. */
  readonly entry?: DirectoryEntry
  /** The blocks of the directory that were read, its root first. */
  readonly path: readonly Block[]
}

/**
 * Yields the entries in the order of the DAG, without reading what they link to.
 *
 * Streams: of a sharded directory at most a few shards are in memory. Hostile directories
 * may hold equal names, and names that no file system would take.
 *
 * @throws `INVALID` when `cid` is not a directory, `NOT_FOUND` when a block of it is absent, `LIMIT` for a
 * HAMT that is nested too deep or goes on without entries.
 */
export async function * listDirectory (blocks: BlockReader, cid: CID, options: AbortOptions = {}): AsyncIterable<DirectoryEntry> {
  const node = requireDirectory(await requireBlock(blocks, cid, options))
  if (node.unixfs.type === 'directory') {
    for (const link of node.links) {
      options.signal?.throwIfAborted()
      yield directoryEntryOf(link, link.name)
    }
  } else {
    for await (const run of listHamt(blocks, shardOf(node), options)) {
      for (const { link, name } of run) {
        options.signal?.throwIfAborted()
        yield directoryEntryOf(link, name)
      }
    }
  }
}

/**
 * Finds the first entry with exactly this name, reading at most one block a level of a HAMT.
 *
 * @throws as `listDirectory`.
 */
export async function findEntry (blocks: BlockReader, directory: CID, name: string, options: AbortOptions = {}): Promise<EntryLookup> {
  const block = await requireBlock(blocks, directory, options)
  const nameBytes = Buffer.from(name)
  const { link, path } = await findInDirectory(blocks, { block, node: requireDirectory(block) }, { name: nameBytes, ...options })
  return { path, ...(link !== undefined && { entry: directoryEntryOf(link, nameBytes) }) }
}

/** Finds a name below a directory whose root was read; `path` begins with that root. */
export async function findInDirectory (blocks: BlockReader, { block, node }: { block: Block, node: UnixFsNode }, { name, signal }: { name: Uint8Array } & AbortOptions): Promise<HamtLookup> {
  if (node.unixfs.type === 'directory') return { link: linkNamed(node.links, name), path: [block] }
  const { link, path } = await findInHamt(blocks, shardOf(node), name, { signal })
  return { link, path: [block, ...path] }
}

/** Returns the first link with this name, compared as bytes: a lossy decoder would take two names for one. */
export function linkNamed (links: readonly DagPbLink[], name: Uint8Array): DagPbLink | undefined {
  return links.find((link) => Buffer.compare(link.name, name) === 0)
}

/** Reports whether a node is a directory, basic or sharded. */
export function isDirectory ({ unixfs: { type } }: UnixFsNode): boolean {
  return type === 'directory' || type === 'hamt-sharded-directory'
}

function requireDirectory (block: Block): UnixFsNode {
  const node = unixFsNodeOf(block)
  if (node !== undefined && isDirectory(node)) return node
  throw new HoldfastError('INVALID', `${block.cid} is not a directory`, { cid: block.cid.toString() })
}

function directoryEntryOf ({ cid, tsize }: DagPbLink, nameBytes: Uint8Array): DirectoryEntry {
  return { name: Buffer.from(nameBytes.buffer, nameBytes.byteOffset, nameBytes.byteLength).toString(), nameBytes, cid, tsize }
}
