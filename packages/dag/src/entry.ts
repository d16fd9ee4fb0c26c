import type { BlockReader } from '@holdfast/blockstore'
import { type AbortOptions, type Block, CODECS, HoldfastError } from '@holdfast/core'
import type { CID } from 'multiformats/cid'
import { requireHamtParameters } from './hamt-shard.ts'
import type { UnixFsTime } from './unixfs.ts'
import { fileByteLengthOf, type UnixFsNode, unixFsNodeOf } from './unixfs-node.ts'

/** Longest target of a symlink in bytes: PATH_MAX of Linux; no file system stores a longer one. */
export const MAX_SYMLINK_TARGET_BYTES = 4096

/** What a UnixFS node may say about itself beyond its content. */
export interface EntryAttributes {
  /** POSIX permission bits, up to 0o7777. */
  readonly mode?: number | undefined
  readonly mtime?: UnixFsTime | undefined
}

/** What a CID names, as a person sees it. */
export type DagEntry =
  /** A raw block or a UnixFS file. */
  | { readonly kind: 'file', readonly cid: CID, readonly byteLength: number } & EntryAttributes
  | { readonly kind: 'directory', readonly cid: CID, readonly sharded: boolean } & EntryAttributes
  | { readonly kind: 'symlink', readonly cid: CID, readonly target: string } & EntryAttributes
  /** A block of dag-cbor, dag-json, cbor or json; `byteLength` counts the block. */
  | { readonly kind: 'ipld', readonly cid: CID, readonly codec: number, readonly byteLength: number }
  /** A block of a codec that is not read here, or dag-pb without UnixFS. */
  | { readonly kind: 'opaque', readonly cid: CID, readonly codec: number, readonly byteLength: number }

/**
 * Reads one block and tells what it is the root of.
 *
 * @throws `NOT_FOUND` when the block is absent, `INVALID` for a block that is not of its codec or a HAMT with
 * unusable parameters, `CORRUPT` for a file whose declared lengths do not add up.
 */
export async function openEntry (blocks: BlockReader, cid: CID, options?: AbortOptions): Promise<DagEntry> {
  return entryOf(await requireBlock(blocks, cid, options))
}

/** Tells what a block is the root of. @throws as `openEntry`, except `NOT_FOUND`. */
export function entryOf (block: Block): DagEntry {
  const { cid, bytes: { byteLength } } = block
  switch (cid.code) {
    case CODECS.raw: return { kind: 'file', cid, byteLength }
    case CODECS.dagPb: {
      const node = unixFsNodeOf(block)
      return (node === undefined ? undefined : unixFsEntryOf(node)) ?? { kind: 'opaque', cid, codec: cid.code, byteLength }
    }
    case CODECS.dagCbor:
    case CODECS.dagJson:
    case CODECS.cbor:
    case CODECS.json: return { kind: 'ipld', cid, codec: cid.code, byteLength }
    default: return { kind: 'opaque', cid, codec: cid.code, byteLength }
  }
}

/**
 * Returns the block where it must be there to go on.
 *
 * @throws `NOT_FOUND` with `details.reason` `'no-block'` when the reader does not have it; what `blocks.get` throws.
 */
export async function requireBlock (blocks: BlockReader, cid: CID, options?: AbortOptions): Promise<Block> {
  const block = await blocks.get(cid, options)
  if (block === undefined) throw new HoldfastError('NOT_FOUND', `Block ${cid} was not found`, { reason: 'no-block', cid: cid.toString() })
  return block
}

function unixFsEntryOf (node: UnixFsNode): DagEntry | undefined {
  const { cid, unixfs: { type, mode, mtime } } = node
  const attributes = { ...(mode !== undefined && { mode }), ...(mtime !== undefined && { mtime }) }
  switch (type) {
    case 'raw':
    case 'file': return { kind: 'file', cid, byteLength: fileByteLengthOf(node), ...attributes }
    case 'directory': return { kind: 'directory', cid, sharded: false, ...attributes }
    case 'hamt-sharded-directory':
      requireHamtParameters(node)
      return { kind: 'directory', cid, sharded: true, ...attributes }
    case 'symlink': return { kind: 'symlink', cid, target: symlinkTargetOf(node), ...attributes }
    default: return undefined
  }
}

function symlinkTargetOf ({ cid, unixfs: { data = new Uint8Array() } }: UnixFsNode): string {
  if (data.byteLength > MAX_SYMLINK_TARGET_BYTES) {
    throw new HoldfastError('LIMIT', `Symlink ${cid} has a target of ${data.byteLength} bytes; at most ${MAX_SYMLINK_TARGET_BYTES} are accepted`, { cid: cid.toString() })
  }
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(data)
  } catch (cause) {
    throw new HoldfastError('INVALID', `Symlink ${cid} has a target that is not UTF-8`, { cause, cid: cid.toString() })
  }
}
