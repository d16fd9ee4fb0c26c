import { type Block, CODECS, type DagPbLink, type DagPbNode, decodeDagPb, HoldfastError, isErrorCode, isHoldfastError } from '@holdfast/core'
import type { CID } from 'multiformats/cid'
import { decodeUnixFs, type UnixFsData } from './unixfs.ts'

/** A dag-pb block whose Data field is UnixFS. */
export interface UnixFsNode {
  readonly cid: CID
  readonly links: readonly DagPbLink[]
  readonly unixfs: UnixFsData
}

/**
 * Decodes a dag-pb block.
 *
 * @throws `INVALID` for bytes that are not dag-pb, `LIMIT` for too many links; the message names the block.
 */
export function dagPbNodeOf ({ cid, bytes }: Block): DagPbNode {
  return withCid(cid, () => decodeDagPb(bytes))
}

/**
 * Decodes a UnixFS block, or returns `undefined` for one of another codec and for dag-pb without UnixFS.
 *
 * @throws as `dagPbNodeOf`, and `LIMIT` for more block sizes than a node can have links.
 */
export function unixFsNodeOf (block: Block): UnixFsNode | undefined {
  if (block.cid.code !== CODECS.dagPb) return undefined
  const { links, data } = dagPbNodeOf(block)
  if (data === undefined) return undefined
  try {
    return { cid: block.cid, links, unixfs: withCid(block.cid, () => decodeUnixFs(data)) }
  } catch (err) {
    if (isErrorCode(err, 'INVALID')) return undefined
    throw err
  }
}

/**
 * Returns how many bytes of content lie at and below a file node.
 *
 * A node that claims more than its parts add up to is how a few blocks describe a file of
 * millions of terabytes, so nothing is read below one.
 *
 * @throws `CORRUPT` when `filesize`, `blocksizes` and the links do not agree.
 */
export function fileByteLengthOf ({ cid, links, unixfs: { data, byteLength, blockByteLengths = [] } }: UnixFsNode): number {
  if (blockByteLengths.length !== links.length) {
    throw new HoldfastError('CORRUPT', `File ${cid} has ${links.length} links but declares the lengths of ${blockByteLengths.length}`, { cid: cid.toString() })
  }
  const sum = blockByteLengths.reduce((sum, length) => sum + length, data?.byteLength ?? 0)
  if (!Number.isSafeInteger(sum) || sum !== (byteLength ?? sum)) {
    throw new HoldfastError('CORRUPT', `File ${cid} declares ${byteLength} bytes, but its parts add up to ${sum}`, { cid: cid.toString(), byteLength, sum })
  }
  return sum
}

/** Runs a decoder; a failure that does not say which block it is about says it afterwards. */
export function withCid<T> (cid: CID, decode: () => T): T {
  try {
    return decode()
  } catch (cause) {
    if (!isHoldfastError(cause) || cause.details['cid'] !== undefined) throw cause
    throw new HoldfastError(cause.code, `Block ${cid} cannot be read: ${cause.message}`, { cause, cid: cid.toString() })
  }
}
