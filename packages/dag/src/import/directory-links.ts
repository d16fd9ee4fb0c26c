import { type DagPbLink, encodedLinkByteLength, HoldfastError } from '@holdfast/core'
import { CID } from 'multiformats/cid'

/** Longest entry name in bytes: what file systems hold, so that a tree can always be written back. */
export const MAX_NAME_BYTES = 255

/** Bytes that a table has room for at first: most directories have a handful of entries. */
const FIRST_BYTES = 512

/** Bytes of an entry before its name: where the name and the CID end, and the Tsize. */
const HEADER_BYTES = 10

/**
 * The entries of one directory, packed: as objects each would take a kilobyte.
 *
 * ```
 * entry   name length (1 byte) · CID length (1) · Tsize (8, float64) · name · CID
 * ```
 *
 * Takes about 60 bytes and the name for each entry, twice that for a moment while it grows.
 */
export class DirectoryLinks {
  #bytes = Buffer.allocUnsafeSlow(FIRST_BYTES)
  #end = 0
  #offsets = new Float64Array(FIRST_BYTES / 64)
  #count = 0
  #encodedByteLength = 0
  #identifierByteLength = 0

  get count (): number {
    return this.#count
  }

  /** Bytes of the links in a dag-pb node. */
  get encodedByteLength (): number {
    return this.#encodedByteLength
  }

  /** Bytes of names and CIDs. */
  get identifierByteLength (): number {
    return this.#identifierByteLength
  }

  /** Takes an entry in. @throws `INVALID` for a name that cannot be a directory entry. */
  add (link: DagPbLink & { readonly tsize: number }): void {
    const { name, cid: { bytes }, tsize } = link
    requireName(name)
    if (bytes.byteLength > 0xff) throw new HoldfastError('INVALID', `A CID of ${bytes.byteLength} bytes is too long for a directory`)
    const byteLength = HEADER_BYTES + name.byteLength + bytes.byteLength
    this.#reserve(byteLength)
    const at = this.#end
    this.#bytes[at] = name.byteLength
    this.#bytes[at + 1] = bytes.byteLength
    this.#bytes.writeDoubleLE(tsize, at + 2)
    this.#bytes.set(name, at + HEADER_BYTES)
    this.#bytes.set(bytes, at + HEADER_BYTES + name.byteLength)
    this.#offsets[this.#count++] = at
    this.#end = at + byteLength
    this.#encodedByteLength += encodedLinkByteLength(link)
    this.#identifierByteLength += name.byteLength + bytes.byteLength
  }

  /** Name of an entry, as a view that holds until the next one is added. */
  nameAt (index: number): Uint8Array {
    const at = this.#offsets[index] ?? 0
    return this.#bytes.subarray(at + HEADER_BYTES, at + HEADER_BYTES + (this.#bytes[at] ?? 0))
  }

  /** The link of an entry, in front of its name as much as is given. */
  linkAt (index: number, prefix: Uint8Array = NO_PREFIX): DagPbLink {
    const at = this.#offsets[index] ?? 0
    const cidAt = at + HEADER_BYTES + (this.#bytes[at] ?? 0)
    const name = Buffer.concat([prefix, this.#bytes.subarray(at + HEADER_BYTES, cidAt)])
    return { name, cid: CID.decode(Uint8Array.from(this.#bytes.subarray(cidAt, cidAt + (this.#bytes[at + 1] ?? 0)))), tsize: this.#bytes.readDoubleLE(at + 2) }
  }

  /** Puts entries in the order of their names. @throws `INVALID` when a name occurs twice. */
  sorted (indexes: Uint32Array): Uint32Array {
    const sorted = indexes.toSorted((a, b) => Buffer.compare(this.nameAt(a), this.nameAt(b)))
    for (const [position, index] of sorted.entries()) {
      const before = sorted[position - 1]
      if (before !== undefined && Buffer.compare(this.nameAt(before), this.nameAt(index)) === 0) {
        throw new HoldfastError('INVALID', `Two entries of one directory are named ${JSON.stringify(textOf(this.nameAt(index)))}`)
      }
    }
    return sorted
  }

  #reserve (byteLength: number): void {
    if (this.#end + byteLength > this.#bytes.byteLength) {
      const larger = Buffer.allocUnsafeSlow(Math.max(this.#bytes.byteLength * 2, this.#end + byteLength))
      larger.set(this.#bytes.subarray(0, this.#end))
      this.#bytes = larger
    }
    if (this.#count < this.#offsets.length) return
    const larger = new Float64Array(this.#offsets.length * 2)
    larger.set(this.#offsets)
    this.#offsets = larger
  }
}

const NO_PREFIX = new Uint8Array()

function requireName (name: Uint8Array): void {
  const text = textOf(name)
  if (name.byteLength === 0 || name.byteLength > MAX_NAME_BYTES || text === '.' || text === '..' || /[/\0]/.test(text)) {
    throw new HoldfastError('INVALID', `${JSON.stringify(text.slice(0, MAX_NAME_BYTES))} cannot be the name of a directory entry`)
  }
}

function textOf (name: Uint8Array): string {
  return Buffer.from(name.buffer, name.byteOffset, name.byteLength).toString()
}
