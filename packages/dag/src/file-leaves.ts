import type { BlockReader } from '@holdfast/blockstore'
import { type AbortOptions, type Block, CODECS, HoldfastError, varintLength, writeVarint } from '@holdfast/core'
import type { CID } from 'multiformats/cid'
import { entryOf, requireBlock } from './entry.ts'
import { type ByteSpan, type FilePart, MAX_FILE_LEVELS, MAX_LINKS_HELD, partsOf } from './file-window.ts'
import { unixFsNodeOf } from './unixfs-node.ts'

/** A leaf of a file that was not read: what its parent says of it. */
export interface FileLeaf {
  readonly cid: CID
  /** Where its content begins in the file. */
  readonly start: number
  /** Bytes of its content. */
  readonly byteLength: number
  /** How deep it lies; the root of the file is level 1. */
  readonly level: number
}

/** Bytes of a file that lie in a node which was read to find its leaves. */
export interface FileBytes {
  readonly start: number
  readonly bytes: Uint8Array
}

export interface FileLeavesOptions extends AbortOptions {
  readonly span: ByteSpan
  /** Reports whether a link is a leaf that need not be read. Other links are read, to see what is in them. */
  isLeaf(leaf: FileLeaf): boolean
}

/**
 * Tells which blocks hold the content of one span of a file, in order, reading only the nodes above them.
 *
 * Whoever reads the leaves by other means must check each against its CID, and its length against `byteLength`.
 *
 * @throws as `readFile`, for the nodes that it reads.
 */
export async function * fileLeaves (blocks: BlockReader, cid: CID, { span, isLeaf, signal }: FileLeavesOptions): AsyncIterable<FileLeaf | FileBytes> {
  const root = await requireBlock(blocks, cid, { signal })
  const entry = entryOf(root)
  if (entry.kind !== 'file') throw new HoldfastError('INVALID', `${cid} is not a file`, { cid: cid.toString(), kind: entry.kind })
  /** What is still to come, the next part last. */
  const parts: FilePart[] = partsOf({ cid, level: 1, start: 0, byteLength: entry.byteLength }, root, span)
  for (let part = parts.pop(); part !== undefined; part = parts.pop()) {
    signal?.throwIfAborted()
    const { start, content } = part
    if (content !== undefined) {
      yield { start: Math.max(start, span.start), bytes: content.subarray(Math.max(0, span.start - start), span.end - start) }
    } else if (isLeaf(part)) {
      yield part
    } else {
      const below = partsOf(part, await requireBlock(blocks, part.cid, { signal }), span)
      if (parts.length + below.length > MAX_LINKS_HELD) throw new HoldfastError('LIMIT', `Reading the file at ${cid} takes more than ${MAX_LINKS_HELD} links at once`, { cid: cid.toString() })
      for (const each of below) parts.push(each)
    }
  }
}

/**
 * Returns the level of the first leaf of a file when that is a UnixFS node, `undefined` when it is a raw block: then no node is a leaf.
 *
 * In a balanced file all leaves lie at this level. Reads the blocks on the way.
 */
export async function leafNodeLevel (blocks: BlockReader, root: Block, options: AbortOptions): Promise<number | undefined> {
  let block = root
  for (let level = 1; level <= MAX_FILE_LEVELS; level++) {
    const first = unixFsNodeOf(block)?.links[0]
    if (first === undefined) return block.cid.code === CODECS.raw ? undefined : level
    if (first.cid.code === CODECS.raw) return undefined
    block = await requireBlock(blocks, first.cid, options)
  }
  return undefined
}

/** How the content of a leaf is framed by its block: bytes before it, and bytes behind it. */
export interface LeafFrame {
  readonly head: Uint8Array
  readonly tail: Uint8Array
}

const NO_FRAME: LeafFrame = { head: new Uint8Array(), tail: new Uint8Array() }

/**
 * Returns what stands around the content of a leaf in its block, when that is raw or written as every importer writes a leaf of UnixFS;
 * `undefined` for blocks of other codecs. Whether the block is written so shows in its bytes alone.
 *
 * A block with exactly these bytes before and behind `byteLength` others decodes to a file of those others.
 *
 * @see https://specs.ipfs.tech/unixfs/
 */
export function leafFrame ({ cid, byteLength }: Pick<FileLeaf, 'cid' | 'byteLength'>): LeafFrame | undefined {
  if (cid.code === CODECS.raw) return NO_FRAME
  if (cid.code !== CODECS.dagPb) return undefined
  const tail = fields([FILESIZE], byteLength)
  const inner = fields([TYPE, FILE, DATA], byteLength)
  const data = inner.byteLength + byteLength + tail.byteLength
  const head = Uint8Array.of(...fields([NODE_DATA], data), ...inner)
  return { head, tail }
}

/** Bytes of the block that has this frame around the content of a leaf. */
export function framedByteLength ({ byteLength }: Pick<FileLeaf, 'byteLength'>, { head, tail }: LeafFrame): number {
  return head.byteLength + byteLength + tail.byteLength
}

/** Tags of the fields on the wire, and the type of a file; see `unixfs.ts`. */
const NODE_DATA = 0x0a
const TYPE = 0x08
const FILE = 2
const DATA = 0x12
const FILESIZE = 0x18

function fields (tags: readonly number[], number: number): Uint8Array {
  const out = new Uint8Array(tags.length + varintLength(number))
  out.set(tags)
  writeVarint(out, tags.length, number)
  return out
}
