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
import type { DirectoryLinks } from './directory-links.ts'
import type { ImportAttributes } from './source.ts'

/** Multicodec code of murmur3-x64-64. */
export const MURMUR3_X64_64 = 0x22

const HASH_BITS = 64

/** Names hashed before the event loop gets a turn, and with it whoever aborts: some milliseconds. */
const LINKS_PER_TURN = 4096

/** Builds the shards of a directory, deepest first; the root has its attributes. @throws `INVALID` when a name occurs twice. */
export async function buildHamt (links: DirectoryLinks, recipe: ImportRecipe, sink: Pick<BlockSink, 'add'>, attributes: ImportAttributes = {}): Promise<BuiltNode> {
  const hashes = await NameHashes.of(links)
  const all = Uint32Array.from({ length: links.count }, (_, index) => index)
  return await new HamtBuilder(links, hashes, recipe, sink).shard(all, 0, attributes)
}

/** The hash of each name, in two halves. */
class NameHashes {
  readonly #high: Uint32Array
  readonly #low: Uint32Array

  private constructor (count: number) {
    this.#high = new Uint32Array(count)
    this.#low = new Uint32Array(count)
  }

  static async of (links: DirectoryLinks): Promise<NameHashes> {
    const hashes = new NameHashes(links.count)
    for (let index = 0; index < links.count; index++) {
      const { buffer, byteOffset } = await murmur364.encode(links.nameAt(index))
      const view = new DataView(buffer, byteOffset)
      hashes.#high[index] = view.getUint32(0)
      hashes.#low[index] = view.getUint32(4)
      if (index % LINKS_PER_TURN === LINKS_PER_TURN - 1) await setImmediate()
    }
    return hashes
  }

  /** `count` bits of the hash of an entry, behind the first `used` ones. */
  bits (index: number, used: number, count: number): number {
    const high = this.#high[index] ?? 0
    const low = this.#low[index] ?? 0
    const behind = HASH_BITS - used - count
    const bits = behind >= 32 ? high >>> (behind - 32) : used >= 32 ? low >>> behind : (high << (32 - behind)) | (low >>> behind)
    return bits & ((1 << count) - 1)
  }
}

class HamtBuilder {
  readonly #links: DirectoryLinks
  readonly #hashes: NameHashes
  readonly #recipe: ImportRecipe
  readonly #sink: Pick<BlockSink, 'add'>
  readonly #bits: number
  /** Names of the slots, as they stand in front of those of entries. */
  readonly #prefixes: readonly Buffer[]

  constructor (links: DirectoryLinks, hashes: NameHashes, recipe: ImportRecipe, sink: Pick<BlockSink, 'add'>) {
    this.#links = links
    this.#hashes = hashes
    this.#recipe = recipe
    this.#sink = sink
    this.#bits = Math.log2(recipe.hamtFanout)
    const width = (recipe.hamtFanout - 1).toString(16).length
    this.#prefixes = Array.from({ length: recipe.hamtFanout }, (_, slot) => Buffer.from(slot.toString(16).toUpperCase().padStart(width, '0')))
  }

  async shard (entries: Uint32Array, usedBits: number, attributes?: ImportAttributes): Promise<BuiltNode> {
    const { hamtFanout: fanout } = this.#recipe
    // Shards are built between two turns of the event loop, so that an import of a million entries can be aborted.
    if (entries.length > fanout) await setImmediate()
    if (usedBits + this.#bits > HASH_BITS) throw this.#tooAlike(entries, usedBits)
    const { members, ends } = this.#bySlot(entries, usedBits)
    const links: DagPbLink[] = []
    const slots: number[] = []
    for (let slot = 0, begin = 0; slot < fanout; slot++) {
      const end = ends[slot] ?? begin
      const prefix = this.#prefixes[slot] ?? Buffer.alloc(0)
      if (end > begin) slots.push(slot)
      if (end === begin + 1) links.push(this.#links.linkAt(members[begin] ?? 0, prefix))
      else if (end > begin) links.push(linkTo(await this.shard(members.subarray(begin, end), usedBits + this.#bits), prefix))
      begin = end
    }
    const data = bitfieldOf(slots, fanout)
    return await buildUnixFsNode({ type: 'hamt-sharded-directory', data, hashType: MURMUR3_X64_64, fanout, ...attributes }, links, this.#recipe, this.#sink)
  }

  /** The same entries in the order of their slots, and where those of each slot end. */
  #bySlot (entries: Uint32Array, usedBits: number): { members: Uint32Array, ends: Uint32Array } {
    const ends = new Uint32Array(this.#recipe.hamtFanout)
    const slotOf = (entry: number): number => this.#hashes.bits(entry, usedBits, this.#bits)
    for (const entry of entries) ends[slotOf(entry)] = (ends[slotOf(entry)] ?? 0) + 1
    const next = new Uint32Array(ends.length)
    for (let slot = 1; slot < ends.length; slot++) {
      next[slot] = ends[slot - 1] ?? 0
      ends[slot] = (ends[slot] ?? 0) + (next[slot] ?? 0)
    }
    const members = new Uint32Array(entries.length)
    for (const entry of entries) {
      const slot = slotOf(entry)
      members[next[slot] ?? 0] = entry
      next[slot] = (next[slot] ?? 0) + 1
    }
    return { members, ends }
  }

  /** Equal names have equal hashes; other names with that many equal bits have to be looked for. */
  #tooAlike (entries: Uint32Array, usedBits: number): HoldfastError {
    this.#links.sorted(entries)
    return new HoldfastError('LIMIT', `Names of a directory share ${usedBits} bits of their hash; it cannot be sharded`)
  }
}

function bitfieldOf (slots: readonly number[], fanout: number): Uint8Array {
  const field = new Uint8Array(Math.ceil(fanout / 8))
  for (const slot of slots) {
    const at = field.byteLength - 1 - (slot >> 3)
    field[at] = (field[at] ?? 0) | (1 << (slot & 7))
  }
  const first = field.findIndex((byte) => byte !== 0)
  return field.subarray(Math.max(first, 0))
}
