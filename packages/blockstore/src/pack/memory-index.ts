import { decodeLocation, encodeLocation, type Location } from './location.ts'
import type { IndexBatch, IndexState, PackIndex, PackInfo } from './pack-index.ts'

/** An index in memory: for tests, which let it lose its last commits, and for stores that are read once. */
export class MemoryIndex implements PackIndex {
  readonly #places = new Map<string, Buffer>()
  readonly #packs = new Map<number, PackInfo>()
  readonly #retired = new Set<number>()
  #state: IndexState | undefined

  get (multihash: Uint8Array): Location | undefined {
    const place = this.#places.get(Buffer.from(multihash).toString('latin1'))
    return place === undefined ? undefined : decodeLocation(place)
  }

  entriesAfter (after: Uint8Array | undefined, count: number): Array<readonly [Buffer, Location]> {
    const from = after === undefined ? '' : Buffer.from(after).toString('latin1')
    return [...this.#places].filter(([key]) => key > from).sort(([a], [b]) => a < b ? -1 : 1).slice(0, count)
      .map(([key, place]) => [Buffer.from(key, 'latin1'), decodeLocation(place)])
  }

  packs (): PackInfo[] {
    return [...this.#packs.values()]
  }

  retiredPacks (): number[] {
    return [...this.#retired]
  }

  state (): IndexState | undefined {
    return this.#state
  }

  async commit ({ changes, packs, removedPacks }: IndexBatch, storeId: Uint8Array): Promise<void> {
    for (const [key, place] of changes) {
      if (place === undefined) this.#places.delete(key)
      else this.#places.set(key, encodeLocation(place))
    }
    for (const pack of packs) this.#packs.set(pack.number, pack)
    for (const number of removedPacks) {
      this.#packs.delete(number)
      this.#retired.add(number)
    }
    this.#state = { storeId, isWhole: true }
  }

  async forget (numbers: readonly number[]): Promise<void> {
    for (const number of numbers) this.#retired.delete(number)
  }

  async byteLength (): Promise<number> {
    return 0
  }

  /** A copy that goes its own way: what a crash leaves when all later commits are lost. */
  clone (): MemoryIndex {
    const copy = new MemoryIndex()
    for (const [key, place] of this.#places) copy.#places.set(key, place)
    for (const [number, pack] of this.#packs) copy.#packs.set(number, pack)
    for (const number of this.#retired) copy.#retired.add(number)
    copy.#state = this.#state
    return copy
  }

  /** As a crash between the steps of a commit leaves it. */
  markUnfinished (): void {
    if (this.#state !== undefined) this.#state = { ...this.#state, isWhole: false }
  }

  async [Symbol.asyncDispose] (): Promise<void> {}
}
