/**
 * References in memory: about 60 bytes each with a digest of 32 bytes, and 1 MiB at least.
 *
 * ```
 * entry   is live 1 | length of the multihash 1 | multihash | file 4 | offset 6 | length 4     little-endian
 * slot    place of an entry, from 1; 0 is free, and OF_DEAD what was one
 * ```
 *
 * Entries lie behind each other in slabs, none over a border. A place is the number of the slab times the length of slabs, and what is in front of
 * the entry there.
 */

/** Where the bytes of a block lie. */
export interface Reference {
  readonly multihash: Uint8Array
  /** An absolute path of this machine. */
  readonly path: string
  readonly offset: number
  readonly byteLength: number
}

/** Most references, about 250 MB: four TiB of content in chunks of 1 MiB. */
export const MAX_REFERENCES: number = 4 * 1024 * 1024

const SLAB_BYTES: number = 1024 * 1024

/** Bytes of an entry beside the multihash. */
const ENTRY_BYTES = 16

/** Longest multihash: two varints and the longest digest that is accepted. */
export const MAX_MULTIHASH_BYTES = 138

/** Slots at first; there are always at least twice as many as entries. */
const FIRST_SLOTS = 1024

const OF_DEAD = 0xffff_ffff

/** Entries that may be dead before the table is made anew, whatever their share. */
const MIN_DEAD_ENTRIES = 4096

/** Finds references by multihash. */
export class ReferenceTable {
  readonly #files = new Files()
  #slabs: Buffer[] = []
  /** Bytes of the last slab that are taken. */
  #end = SLAB_BYTES
  #slots = new Uint32Array(FIRST_SLOTS)
  /** Slots that are not free. */
  #takenCount = 0
  #count = 0
  #byteLength = 0

  get count (): number {
    return this.#count
  }

  /** Bytes that the references are of. */
  get byteLength (): number {
    return this.#byteLength
  }

  get fileCount (): number {
    return this.#files.count
  }

  get (multihash: Uint8Array): Reference | undefined {
    const slot = this.#find(multihash)
    return slot === undefined ? undefined : this.#entryAt((this.#slots[slot] ?? 0) - 1)
  }

  has (multihash: Uint8Array): boolean {
    return this.#find(multihash) !== undefined
  }

  /** Puts a reference, in place of that of the same multihash. */
  set ({ multihash, path, offset, byteLength }: Reference): void {
    this.delete(multihash)
    if ((this.#takenCount + 1) * 2 > this.#slots.length) this.#rebuild()
    const slab = this.#room(ENTRY_BYTES + multihash.byteLength)
    const place = (this.#slabs.length - 1) * SLAB_BYTES + this.#end
    let at = slab.writeUInt8(1, this.#end)
    at = slab.writeUInt8(multihash.byteLength, at)
    slab.set(multihash, at)
    at = slab.writeUInt32LE(this.#files.take(path), at + multihash.byteLength)
    at = slab.writeUIntLE(offset, at, 6)
    this.#end = slab.writeUInt32LE(byteLength, at)
    this.#insert(multihash, place)
    this.#count++
    this.#byteLength += byteLength
  }

  /** Removes the reference of the multihash, and tells whether there was one. */
  delete (multihash: Uint8Array): boolean {
    const slot = this.#find(multihash)
    if (slot === undefined) return false
    const [slab, at] = this.#placeOf((this.#slots[slot] ?? 0) - 1)
    slab[at] = 0
    this.#files.give(slab.readUInt32LE(at + 2 + multihash.byteLength))
    this.#slots[slot] = OF_DEAD
    this.#count--
    this.#byteLength -= slab.readUInt32LE(at + 12 + multihash.byteLength)
    return true
  }

  /** The references that are there from the beginning of the walk until they come, file by file mostly. */
  * entries (): Generator<Reference> {
    for (const [slab, at] of this.#scan()) {
      // The table may have been made anew since.
      const present = this.get(slab.subarray(at + 2, at + 2 + (slab[at + 1] ?? 0)))
      if (present !== undefined) yield present
    }
  }

  /** Where live entries lie in the slabs that there are now. */
  * #scan (): Generator<[slab: Buffer, at: number]> {
    const [slabs, lastEnd] = [[...this.#slabs], this.#end]
    for (const [index, slab] of slabs.entries()) {
      const end = index === slabs.length - 1 ? lastEnd : SLAB_BYTES
      for (let at = 0; at + ENTRY_BYTES <= end;) {
        const length = slab[at + 1] ?? 0
        if (length === 0) break
        if (slab[at] === 1) yield [slab, at]
        at += ENTRY_BYTES + length
      }
    }
  }

  #entryAt (place: number): Reference {
    return this.#read(...this.#placeOf(place))
  }

  #read (slab: Buffer, at: number): Reference {
    const end = at + 2 + (slab[at + 1] ?? 0)
    return { multihash: Uint8Array.from(slab.subarray(at + 2, end)), path: this.#files.pathOf(slab.readUInt32LE(end)), offset: slab.readUIntLE(end + 4, 6), byteLength: slab.readUInt32LE(end + 10) }
  }

  #placeOf (place: number): [Buffer, number] {
    const slab = this.#slabs[Math.floor(place / SLAB_BYTES)]
    if (slab === undefined) throw new Error(`No reference lies at ${place}`)
    return [slab, place % SLAB_BYTES]
  }

  #find (multihash: Uint8Array): number | undefined {
    for (let slot = this.#firstSlot(multihash); ; slot = (slot + 1) & (this.#slots.length - 1)) {
      const place = this.#slots[slot] ?? 0
      if (place === 0) return undefined
      if (place === OF_DEAD) continue
      const [slab, at] = this.#placeOf(place - 1)
      if (slab[at + 1] === multihash.byteLength && slab.compare(multihash, 0, multihash.byteLength, at + 2, at + 2 + multihash.byteLength) === 0) return slot
    }
  }

  #insert (multihash: Uint8Array, place: number): void {
    let slot = this.#firstSlot(multihash)
    while (this.#slots[slot] !== 0) slot = (slot + 1) & (this.#slots.length - 1)
    this.#slots[slot] = place + 1
    this.#takenCount++
  }

  /** The end of a digest is as good as any other part of it. */
  #firstSlot (multihash: Uint8Array): number {
    const { byteLength } = multihash
    const word = (multihash[byteLength - 1] ?? 0) | (multihash[byteLength - 2] ?? 0) << 8 | (multihash[byteLength - 3] ?? 0) << 16 | (multihash[byteLength - 4] ?? 0) << 24
    return word & (this.#slots.length - 1)
  }

  #room (byteLength: number): Buffer {
    const last = this.#slabs.at(-1)
    if (last !== undefined && this.#end + byteLength <= SLAB_BYTES) return last
    const slab = Buffer.alloc(SLAB_BYTES)
    this.#slabs.push(slab)
    this.#end = 0
    return slab
  }

  /** Makes room for twice as many entries, or drops the dead ones when those are most. */
  #rebuild (): void {
    const deadCount = this.#takenCount - this.#count
    if (deadCount > Math.max(MIN_DEAD_ENTRIES, this.#count)) return this.#dropDead()
    const places = this.#slots.filter((place) => place !== 0 && place !== OF_DEAD)
    this.#resize()
    for (const place of places) {
      const [slab, at] = this.#placeOf(place - 1)
      this.#insert(slab.subarray(at + 2, at + 2 + (slab[at + 1] ?? 0)), place - 1)
    }
  }

  #dropDead (): void {
    const entries = this.#scan().map(([slab, at]) => this.#read(slab, at)).toArray()
    this.#slabs = []
    this.#end = SLAB_BYTES
    this.#resize()
    this.#count = 0
    this.#byteLength = 0
    for (const entry of entries) {
      this.set(entry)
      this.#files.giveOne(entry.path)
    }
  }

  /** Empties the slots, four for each entry. */
  #resize (): void {
    let length = FIRST_SLOTS
    while (length < (this.#count + 1) * 4) length *= 2
    this.#slots = new Uint32Array(length)
    this.#takenCount = 0
  }
}

/** The paths of files that are referred to, by a number each. */
class Files {
  readonly #numbers = new Map<string, number>()
  readonly #files: Array<{ readonly path: string, uses: number } | undefined> = []
  readonly #free: number[] = []

  get count (): number {
    return this.#numbers.size
  }

  /** Uses a path once more. */
  take (path: string): number {
    const known = this.#numbers.get(path)
    const number = known ?? this.#free.pop() ?? this.#files.length
    const file = known === undefined ? { path, uses: 0 } : this.#file(known)
    file.uses++
    this.#numbers.set(path, number)
    this.#files[number] = file
    return number
  }

  /** Uses it once less. */
  give (number: number): void {
    const file = this.#file(number)
    if (--file.uses > 0) return
    this.#numbers.delete(file.path)
    this.#files[number] = undefined
    this.#free.push(number)
  }

  giveOne (path: string): void {
    const number = this.#numbers.get(path)
    if (number !== undefined) this.give(number)
  }

  pathOf (number: number): string {
    return this.#file(number).path
  }

  #file (number: number): { readonly path: string, uses: number } {
    const file = this.#files[number]
    if (file === undefined) throw new Error(`No file has the number ${number}`)
    return file
  }
}
