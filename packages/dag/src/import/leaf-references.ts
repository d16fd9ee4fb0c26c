import { type AbortOptions, type Block, HoldfastError } from '@holdfast/core'
import type { CID } from 'multiformats/cid'
import type { FileSink } from './file-builder.ts'
import type { FileSource } from './source.ts'

/** A raw leaf, and where its bytes lie on this machine. */
export interface PlacedLeaf {
  readonly cid: CID
  readonly path: string
  readonly offset: number
  readonly byteLength: number
}

/** Keeps where leaves lie instead of their bytes. */
export interface LeafKeeper {
  /** Resolves when it is as durable as a put of the blocks would be. */
  refer(leaves: readonly PlacedLeaf[], options?: AbortOptions): Promise<void>
  /** Makes the bytes of a file durable: leaves of it are referred to, and nobody else has them. */
  syncFile(path: string): Promise<void>
}

/** Leaves that are handed over at once: they share a sync. */
export const LEAVES_AT_ONCE = 2048

/** The leaves of one import that are referred to where they lie, handed over in batches. Holds `LEAVES_AT_ONCE` of them, without their bytes. */
export class LeafReferences {
  readonly #keeper: LeafKeeper
  readonly #options: AbortOptions
  #waiting: PlacedLeaf[] = []
  #count = 0

  constructor (keeper: LeafKeeper, options: AbortOptions) {
    this.#keeper = keeper
    this.#options = options
  }

  /** Leaves that were taken so far. */
  get count (): number {
    return this.#count
  }

  /**
   * A sink for one file, which takes its leaves in their order and leaves all other blocks to `sink`.
   *
   * @throws `INVALID` for what is no file of this machine.
   */
  sinkFor (source: Pick<FileSource, 'path'>, sink: FileSink): FileSink {
    const path = pathOf(source)
    if (path === undefined) throw new HoldfastError('INVALID', 'Only files of this machine whose path is UTF-8 can be referred to in place')
    let offset = 0
    return {
      buffers: sink.buffers,
      add: async (block) => { await sink.add(block) },
      addLeaf: async (block, byteLength) => {
        if (block !== undefined) await this.#add(block, { path, offset })
        offset += byteLength
        if (block !== undefined) sink.buffers?.give(block.bytes)
      }
    }
  }

  /** Makes a file durable whose leaves were taken. */
  async sync (source: Pick<FileSource, 'path'>): Promise<void> {
    const path = pathOf(source)
    if (path !== undefined) await this.#keeper.syncFile(path)
  }

  /** Resolves when all leaves that were taken are referred to durably. */
  async flush (): Promise<void> {
    const leaves = this.#waiting
    this.#waiting = []
    if (leaves.length > 0) await this.#keeper.refer(leaves, this.#options)
  }

  async #add ({ cid, bytes: { byteLength } }: Block, place: { readonly path: string, readonly offset: number }): Promise<void> {
    this.#count++
    if (this.#waiting.push({ cid, ...place, byteLength }) >= LEAVES_AT_ONCE) await this.flush()
  }
}

/** The path as text; a path that is not UTF-8 has none. */
function pathOf ({ path }: Pick<FileSource, 'path'>): string | undefined {
  const text = path?.toString()
  return text !== undefined && path?.equals(Buffer.from(text)) === true ? text : undefined
}
