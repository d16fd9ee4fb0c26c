/**
 * One shard of a HAMT directory, as it is read.
 *
 * ```
 * link name   slot in uppercase hex of fixed width, then the name of the entry
 *             the slot alone: a link to the sub-shard of all entries whose hash has that slot
 * slot        the next log2(fanout) bits of murmur3-x64-64(name), most significant first
 * ```
 *
 * @see https://specs.ipfs.tech/unixfs/ §"HAMT sharded directories"
 */
import { type DagPbLink, HoldfastError } from '@holdfast/core'
import { murmur364 } from '@multiformats/murmur3'
import type { CID } from 'multiformats/cid'
import type { UnixFsNode } from './unixfs-node.ts'

/** Multicodec code of murmur3-x64-64, the only hash of HAMT directories. */
const MURMUR3_X64_64 = 0x22

/** Bits of that hash; each level of shards uses up log2(fanout) of them. */
const HASH_BITS = 64

/** Fewest slots of a shard that are accepted, as the specification has it. */
export const MIN_HAMT_FANOUT = 8

/** Most slots of a shard that are accepted (boxo's cap since CVE-2023-23625). */
export const MAX_HAMT_FANOUT = 1024

/** What is equal in all shards of one directory. */
export interface HamtParameters {
  readonly fanout: number
  /** log2(fanout). */
  readonly bitsPerLevel: number
  /** Characters of the slot at the front of each link name. */
  readonly prefixLength: number
  /** Levels of shards after which no bit of the hash is left. */
  readonly maxLevels: number
}

export interface HamtShard extends HamtParameters {
  readonly cid: CID
  readonly slots: readonly HamtLink[]
}

export interface HamtLink {
  readonly slot: number
  /** Name of the entry; empty for a sub-shard. */
  readonly name: Uint8Array
  readonly link: DagPbLink
}

/**
 * Reads the parameters of a shard.
 *
 * @throws `INVALID` for a fanout that is not a power of two within the limits, `UNSUPPORTED` for another hash.
 */
export function requireHamtParameters ({ cid, unixfs: { fanout = 0, hashType } }: UnixFsNode): HamtParameters {
  if (hashType !== MURMUR3_X64_64) {
    throw new HoldfastError('UNSUPPORTED', `HAMT ${cid} uses hash function 0x${hashType?.toString(16)}; only murmur3-x64-64 (0x22) is known`, { cid: cid.toString(), hashType })
  }
  if (fanout < MIN_HAMT_FANOUT || fanout > MAX_HAMT_FANOUT || (fanout & (fanout - 1)) !== 0) {
    throw new HoldfastError('INVALID', `HAMT ${cid} has fanout ${fanout}; it must be a power of two from ${MIN_HAMT_FANOUT} to ${MAX_HAMT_FANOUT}`, { cid: cid.toString(), fanout })
  }
  const bitsPerLevel = Math.log2(fanout)
  return { fanout, bitsPerLevel, prefixLength: (fanout - 1).toString(16).length, maxLevels: Math.floor(HASH_BITS / bitsPerLevel) }
}

/**
 * Reads a shard.
 *
 * @throws as `requireHamtParameters`, and `INVALID` for a node that is no shard, for more links than
 * slots and for a link whose name does not begin with a slot.
 */
export function shardOf (node: UnixFsNode): HamtShard {
  if (node.unixfs.type !== 'hamt-sharded-directory') {
    throw new HoldfastError('INVALID', `Block ${node.cid} is not a shard of a HAMT directory`, { cid: node.cid.toString() })
  }
  const parameters = requireHamtParameters(node)
  if (node.links.length > parameters.fanout) {
    throw new HoldfastError('INVALID', `HAMT shard ${node.cid} has ${node.links.length} links, more than its fanout ${parameters.fanout}`, { cid: node.cid.toString() })
  }
  return { ...parameters, cid: node.cid, slots: node.links.map((link) => hamtLinkOf(node.cid, link, parameters)) }
}

/** Returns the hash that places an entry. */
export async function hamtHashOf (name: Uint8Array): Promise<bigint> {
  return Buffer.from(await murmur364.encode(name)).readBigUInt64BE()
}

/** Returns the slot of a hash in a shard of this level, the root having level 0. */
export function slotAt (hash: bigint, level: number, { bitsPerLevel, fanout }: HamtParameters): number {
  return Number((hash >> BigInt(HASH_BITS - bitsPerLevel * (level + 1))) & BigInt(fanout - 1))
}

function hamtLinkOf (cid: CID, link: DagPbLink, { prefixLength, fanout }: HamtParameters): HamtLink {
  const prefix = Buffer.from(link.name.subarray(0, prefixLength)).toString('latin1')
  const slot = /^[0-9A-F]+$/.test(prefix) ? Number.parseInt(prefix, 16) : fanout
  if (prefix.length !== prefixLength || slot >= fanout) {
    throw new HoldfastError('INVALID', `HAMT shard ${cid} has a link that does not begin with a slot`, { cid: cid.toString(), prefix })
  }
  return { slot, name: link.name.subarray(prefixLength), link }
}
