import type { BlockReader } from '@holdfast/blockstore'
import { type AbortOptions, type Block, CODECS, codecName, HoldfastError } from '@holdfast/core'
import type { CID } from 'multiformats/cid'
import { isDirectory } from './directory.ts'
import { entryOf } from './entry.ts'
import { fileLeaves, leafNodeLevel } from './file-leaves.ts'
import { MAX_BARREN_SHARDS, subShardOf } from './hamt-reader.ts'
import { type HamtShard, shardOf } from './hamt-shard.ts'
import { ReadAheadStack } from './read-ahead-stack.ts'
import { readFileFrom } from './read-file.ts'
import { MAX_PATH_SEGMENTS } from './resolve.ts'
import { type KnownContent, requireEntryName, type TreeEntry } from './tree-entry.ts'
import { unixFsNodeOf } from './unixfs-node.ts'
import { MAX_LINKS_WAITING } from './walk.ts'

/**
 * Yields a file, or a directory with all below it, depth first in the order of the links.
 *
 * Roots of entries and shards of directories are read a few ahead. Links that repeat are followed each
 * time, so a small DAG can describe a tree without end: whoever stores it must count (`writeTree` does).
 *
 * @throws `INVALID` for names that no file system takes, `UNSUPPORTED` for an entry that is neither file, directory nor
 * symlink, `LIMIT` below 128 path segments, and as `readFile` and `listDirectory`.
 */
export async function * readTree (blocks: BlockReader, cid: CID, { signal }: AbortOptions = {}): AsyncIterable<TreeEntry> {
  using stack = new ReadAheadStack<TreeStep>(blocks, { signal })
  stack.push([{ cid, parentPath: [] }])
  let barrenCount = 0
  for (let next = await stack.pop(); next !== undefined; next = await stack.pop()) {
    const { item, block } = next
    if (block === undefined) continue
    let steps: TreeStep[]
    if (item.shard === undefined) {
      const entry = treeEntryOf(blocks, { block, path: pathOf(item) }, { signal })
      yield entry
      barrenCount = 0
      steps = entry.kind === 'directory' ? stepsBelow(block, entry.path) : []
    } else {
      if (++barrenCount > MAX_BARREN_SHARDS) throw new HoldfastError('LIMIT', `More than ${MAX_BARREN_SHARDS} shards in a row hold no entry, at ${item.cid}`, { cid: item.cid.toString() })
      const { root, level } = item.shard
      steps = stepsOfShard(subShardOf(block, root, level), { root, level, path: item.parentPath })
    }
    if (stack.count + steps.length > MAX_LINKS_WAITING) throw new HoldfastError('LIMIT', `More than ${MAX_LINKS_WAITING} entries wait at ${item.cid}`, { cid: item.cid.toString() })
    stack.push(steps)
  }
}

/** What is still to be read: an entry of the directory at `parentPath`, or a shard of that directory. */
interface TreeStep {
  readonly cid: CID
  readonly parentPath: readonly string[]
  /** Name of an entry; the root has none. */
  readonly name?: Uint8Array
  readonly shard?: { readonly root: HamtShard, readonly level: number }
}

/** Decoded only when its turn comes: paths of all that waits would cost more than the names. */
function pathOf ({ cid, parentPath, name }: TreeStep): string[] {
  if (name === undefined) return []
  if (parentPath.length === MAX_PATH_SEGMENTS) {
    throw new HoldfastError('LIMIT', `The tree is nested deeper than ${MAX_PATH_SEGMENTS} directories at ${cid}`, { cid: cid.toString() })
  }
  const text = Buffer.from(name.buffer, name.byteOffset, name.byteLength).toString()
  if (Buffer.compare(Buffer.from(text), name) !== 0) {
    throw new HoldfastError('INVALID', `The name ${JSON.stringify(text.slice(0, 255))} below ${JSON.stringify(parentPath.join('/'))} is not UTF-8`, { cid: cid.toString() })
  }
  requireEntryName(text)
  return [...parentPath, text]
}

function treeEntryOf (blocks: BlockReader, { block, path }: { block: Block, path: readonly string[] }, options: AbortOptions): TreeEntry {
  const entry = entryOf(block)
  if (entry.kind === 'ipld' || entry.kind === 'opaque') {
    throw new HoldfastError('UNSUPPORTED', `${block.cid} is a block of ${codecName(entry.codec)}, not a file or directory; read it as a block`, { cid: block.cid.toString(), codec: entry.codec })
  }
  const { mode, mtime } = entry
  const common = { path, ...(mode !== undefined && { mode }), ...(mtime !== undefined && { mtime }) }
  switch (entry.kind) {
    case 'file': return { kind: 'file', ...common, byteLength: entry.byteLength, content: readFileFrom(blocks, block, options), known: knownContentOf(blocks, block, options) }
    case 'directory': return { kind: 'directory', ...common }
    case 'symlink': return { kind: 'symlink', ...common, target: entry.target }
  }
}

function knownContentOf (blocks: BlockReader, block: Block, { signal }: AbortOptions): KnownContent {
  return {
    async * leaves (byteLength) {
      const leafLevel = await leafNodeLevel(blocks, block, { signal })
      yield * fileLeaves(blocks, block.cid, { span: { start: 0, end: byteLength }, isLeaf: ({ cid: { code }, level }) => code === CODECS.raw || level === leafLevel, signal })
    },
    from: (offset) => readFileFrom(blocks, block, { offset, signal })
  }
}

function stepsBelow (block: Block, path: readonly string[]): TreeStep[] {
  const node = unixFsNodeOf(block)
  if (node === undefined || !isDirectory(node)) return []
  if (node.unixfs.type === 'directory') return node.links.map(({ cid, name }) => ({ cid, name, parentPath: path }))
  const root = shardOf(node)
  return stepsOfShard(root, { root, level: 0, path })
}

function stepsOfShard (shard: HamtShard, { root, level, path }: { root: HamtShard, level: number, path: readonly string[] }): TreeStep[] {
  return shard.slots.map(({ name, link: { cid } }) => name.byteLength > 0
    ? { cid, name, parentPath: path }
    : { cid, parentPath: path, shard: { root, level: level + 1 } })
}
