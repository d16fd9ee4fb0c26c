/**
 * DAG-PB: the protobuf of UnixFS dag nodes.
 *
 * ```
 * PBNode { Links: repeated PBLink = 2, Data: optional bytes = 1 }   Links come first in canonical bytes
 * PBLink { Hash: bytes = 1, Name: string = 2, Tsize: uint64 = 3 }
 * ```
 *
 * Written here and not taken from @ipld/dag-pb (our oracle in the tests) because names must stay
 * bytes (a lossy text decoder makes two different nodes list equal names), the number of links must be
 * bounded before anything is allocated, and both field orders must be read (IPIP-0550).
 *
 * @see https://ipld.io/specs/codecs/dag-pb/spec/
 */
import { CID } from 'multiformats/cid'
import { HoldfastError } from './errors.ts'

/** Most links of one dag node: about 40 bytes each in the 2 MiB of a block, with room. */
export const MAX_DAG_PB_LINKS = 65_536

export interface DagPbLink {
  readonly cid: CID
  /** Link name as the bytes on the wire; empty for the chunks of a file. */
  readonly name: Uint8Array
  /** Cumulative bytes of the blocks below, as the writer claims; `undefined` when absent. */
  readonly tsize: number | undefined
}

export interface DagPbNode {
  readonly links: readonly DagPbLink[]
  readonly data: Uint8Array | undefined
}

/** Writes the canonical bytes: links in the order given, then data. Names are written even when empty. */
export function encodeDagPb ({ links, data }: DagPbNode): Uint8Array {
  const linkLengths = links.map(linkByteLength)
  let total = linkLengths.reduce((sum, length) => sum + 1 + varintLength(length) + length, 0)
  if (data !== undefined) total += 1 + varintLength(data.byteLength) + data.byteLength

  const out = new Uint8Array(total)
  let at = 0
  for (const [index, link] of links.entries()) {
    at = writeVarint(out, at, LINKS_TAG)
    at = writeVarint(out, at, linkLengths[index] ?? 0)
    at = writeBytes(out, at, HASH_TAG, link.cid.bytes)
    at = writeBytes(out, at, NAME_TAG, link.name)
    if (link.tsize !== undefined) at = writeVarint(out, writeVarint(out, at, TSIZE_TAG), link.tsize)
  }
  if (data !== undefined) writeBytes(out, at, DATA_TAG, data)
  return out
}

/** Bytes that one link adds to a node, with its tag and length: what directory size estimation counts. */
export function encodedLinkByteLength (link: DagPbLink): number {
  const length = linkByteLength(link)
  return 1 + varintLength(length) + length
}

/**
 * Reads a node in either field order; names and data are views into `bytes`.
 *
 * @throws `INVALID` for bytes that are not DAG-PB, `LIMIT` above `MAX_DAG_PB_LINKS`.
 */
export function decodeDagPb (bytes: Uint8Array): DagPbNode {
  const reader = new ProtobufReader(bytes)
  const links: DagPbLink[] = []
  let data: Uint8Array | undefined
  let linksEnded = false

  while (!reader.done) {
    const tag = reader.varint()
    if (tag === DATA_TAG) {
      if (data !== undefined) throw malformed('Data occurs twice')
      data = reader.bytes()
      if (links.length > 0) linksEnded = true
    } else if (tag === LINKS_TAG) {
      if (linksEnded) throw malformed('Links are not in one run')
      if (links.length === MAX_DAG_PB_LINKS) throw new HoldfastError('LIMIT', `DAG node has more than ${MAX_DAG_PB_LINKS} links`)
      links.push(decodeLink(reader.bytes()))
    } else {
      throw malformed(`unknown field tag ${tag}`)
    }
  }
  return { links, data }
}

const DATA_TAG = (1 << 3) | 2
const LINKS_TAG = (2 << 3) | 2
const HASH_TAG = (1 << 3) | 2
const NAME_TAG = (2 << 3) | 2
const TSIZE_TAG = 3 << 3

function decodeLink (bytes: Uint8Array): DagPbLink {
  const reader = new ProtobufReader(bytes)
  let cid: CID | undefined
  let name: Uint8Array | undefined
  let tsize: number | undefined

  while (!reader.done) {
    const tag = reader.varint()
    if (tag === HASH_TAG && cid === undefined && name === undefined && tsize === undefined) cid = decodeCid(reader.bytes())
    else if (tag === NAME_TAG && name === undefined && tsize === undefined) name = reader.bytes()
    else if (tag === TSIZE_TAG && tsize === undefined) tsize = reader.varint()
    else throw malformed(`unexpected field tag ${tag} in a link`)
  }
  if (cid === undefined) throw malformed('a link without Hash')
  return { cid, name: name ?? EMPTY, tsize }
}

const EMPTY = new Uint8Array()

function decodeCid (bytes: Uint8Array): CID {
  try {
    return CID.decode(bytes)
  } catch (cause) {
    throw new HoldfastError('INVALID', 'Not DAG-PB: a link whose Hash is not a CID', { cause })
  }
}

function malformed (why: string): HoldfastError {
  return new HoldfastError('INVALID', `Not DAG-PB: ${why}`)
}

function linkByteLength ({ cid, name, tsize }: DagPbLink): number {
  return 1 + varintLength(cid.bytes.byteLength) + cid.bytes.byteLength +
    1 + varintLength(name.byteLength) + name.byteLength +
    (tsize === undefined ? 0 : 1 + varintLength(tsize))
}

function writeBytes (out: Uint8Array, at: number, tag: number, bytes: Uint8Array): number {
  at = writeVarint(out, writeVarint(out, at, tag), bytes.byteLength)
  out.set(bytes, at)
  return at + bytes.byteLength
}

/** Number of bytes of an unsigned LEB128 varint. */
export function varintLength (value: number): number {
  let length = 1
  while (value >= 0x80) {
    value = Math.floor(value / 0x80)
    length++
  }
  return length
}

/** Writes an unsigned LEB128 varint at `at` and returns where it ends. Safe integers only. */
export function writeVarint (out: Uint8Array, at: number, value: number): number {
  while (value >= 0x80) {
    out[at++] = (value % 0x80) | 0x80
    value = Math.floor(value / 0x80)
  }
  out[at++] = value
  return at
}

/** Reads the fields of one protobuf message without copying; every length is checked against what is there. */
export class ProtobufReader {
  readonly #bytes: Uint8Array
  #at = 0

  constructor (bytes: Uint8Array) {
    this.#bytes = bytes
  }

  get done (): boolean {
    return this.#at === this.#bytes.byteLength
  }

  /** @throws `INVALID` for a varint that is cut short or above 2^53 - 1. */
  varint (): number {
    let value = 0
    for (let scale = 1; ; scale *= 0x80) {
      const byte = this.#bytes[this.#at++]
      if (byte === undefined) throw new HoldfastError('INVALID', 'Not protobuf: cut short inside a varint')
      value += (byte & 0x7f) * scale
      if (!Number.isSafeInteger(value)) throw new HoldfastError('INVALID', 'Not protobuf: a varint above 2^53 - 1')
      if (byte < 0x80) return value
      if (scale > 2 ** 56) throw new HoldfastError('INVALID', 'Not protobuf: a varint of more than 10 bytes')
    }
  }

  /**
   * A varint of up to 64 bits, for signed fields.
   *
   * @throws `INVALID` for a varint that is cut short or longer than 10 bytes.
   */
  varint64 (): bigint {
    let value = 0n
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = this.#bytes[this.#at++]
      if (byte === undefined) throw new HoldfastError('INVALID', 'Not protobuf: cut short inside a varint')
      value |= BigInt(byte & 0x7f) << shift
      if (byte < 0x80) return BigInt.asIntN(64, value)
    }
    throw new HoldfastError('INVALID', 'Not protobuf: a varint of more than 10 bytes')
  }

  /** A length-delimited field, as a view. @throws `INVALID` when it ends outside the message. */
  bytes (): Uint8Array {
    return this.take(this.varint())
  }

  /** The next `byteLength` bytes, as a view. @throws `INVALID` when there are fewer. */
  take (byteLength: number): Uint8Array {
    const end = this.#at + byteLength
    if (end > this.#bytes.byteLength) throw new HoldfastError('INVALID', 'Not protobuf: cut short inside a field')
    const view = this.#bytes.subarray(this.#at, end)
    this.#at = end
    return view
  }
}
