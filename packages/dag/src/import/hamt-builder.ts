/**
 * HAMT-sharded directories.
 *
 * ```
 * shard     dag-pb node, Data = UnixFS { Type 5, Data = bitfield, hashType 0x22, fanout }
 * bitfield  bit i set = slot i is used; big-endian, leading zero bytes trimmed
 * link      name = slot as uppercase hex of fixed width, then the entry's name; a slot with
 *           more than one entry links to a sub-shard and its name is the slot alone
 * slot      log2(fanout) bits of the name's murmur3-x64-64 hash, most significant first, next bits a level down
 * ```
 *
 * @see https://specs.ipfs.tech/unixfs/ §"HAMT sharded directories"
 */
import { type DagPbLink, HoldfastError } from '@holdfast/core'
import { murmur364 } from '@multiformats/murmur3'
import { setImmediate } from 'node:timers/promises'
import type { ImportRecipe } from '../profile.ts'
import type { BlockSink } from './block-sink.ts'
import { type BuiltNode, buildUnixFsNode, linkTo } from './dag-builder.ts'
import type { ImportAttributes } from './source.ts'

/** Multicodec code of murmur3-x64-64. */
export const MURMUR3_X64_64 = 0x22

const HASH_BITS = 64n

/** Names hashed before the event loop gets a turn, and with it whoever aborts: some milliseconds. */
const LINKS_PER_TURN = 4096

interface HashedLink {
  readonly link: DagPbLink
  readonly hash: bigint
}

/** Builds the shards of a directory, deepest first; the root has its attributes. */
export async function buildHamt (links: readonly DagPbLink[], recipe: ImportRecipe, sink: Pick<BlockSink, 'add'>, attributes: ImportAttributes = {}): Promise<BuiltNode> {
  const hashed: HashedLink[] = []
  for (const link of links) {
    hashed.push({ link, hash: await hashOf(link.name) })
    if (hashed.length % LINKS_PER_TURN === 0) await setImmediate()
  }
  return await buildShard(hashed, 0n, recipe, sink, attributes)
}

async function hashOf (name: Uint8Array): Promise<bigint> {
  return Buffer.from(await murmur364.encode(name)).readBigUInt64BE()
}

async function buildShard (entries: readonly HashedLink[], usedBits: bigint, recipe: ImportRecipe, sink: Pick<BlockSink, 'add'>, attributes?: ImportAttributes): Promise<BuiltNode> {
  // Shards are built between two turns of the event loop, so that an import of a million entries can be aborted.
  if (entries.length > recipe.hamtFanout) await setImmediate()
  const bits = BigInt(Math.log2(recipe.hamtFanout))
  if (usedBits + bits > HASH_BITS) {
    throw new HoldfastError('LIMIT', `Names of a directory share ${usedBits} bits of their hash; it cannot be sharded`)
  }
  const slots = bySlot(entries, usedBits, bits)
  const width = (recipe.hamtFanout - 1).toString(16).length
  const links: DagPbLink[] = []
  for (const [slot, members] of [...slots].toSorted(([a], [b]) => a - b)) {
    const prefix = Buffer.from(slot.toString(16).toUpperCase().padStart(width, '0'))
    const [only] = members
    if (members.length === 1 && only !== undefined) {
      links.push({ ...only.link, name: Buffer.concat([prefix, only.link.name]) })
    } else {
      links.push(linkTo(await buildShard(members, usedBits + bits, recipe, sink), prefix))
    }
  }
  const data = bitfieldOf(slots.keys(), recipe.hamtFanout)
  return await buildUnixFsNode({ type: 'hamt-sharded-directory', data, hashType: MURMUR3_X64_64, fanout: recipe.hamtFanout, ...attributes }, links, recipe, sink)
}

function bySlot (entries: readonly HashedLink[], usedBits: bigint, bits: bigint): Map<number, HashedLink[]> {
  const slots = new Map<number, HashedLink[]>()
  const shift = HASH_BITS - usedBits - bits
  const mask = (1n << bits) - 1n
  for (const entry of entries) {
    const slot = Number((entry.hash >> shift) & mask)
    const members = slots.get(slot)
    if (members === undefined) slots.set(slot, [entry])
    else members.push(entry)
  }
  return slots
}

function bitfieldOf (slots: Iterable<number>, fanout: number): Uint8Array {
  const field = new Uint8Array(Math.ceil(fanout / 8))
  for (const slot of slots) {
    const at = field.byteLength - 1 - (slot >> 3)
    field[at] = (field[at] ?? 0) | (1 << (slot & 7))
  }
  const first = field.findIndex((byte) => byte !== 0)
  return field.subarray(Math.max(first, 0))
}
