import type { BlockReader, BlockWriter } from '@holdfast/blockstore'
import { HoldfastError, multihashKey } from '@holdfast/core'
import { DigestSet } from '@holdfast/dag'
import type { CID } from 'multiformats/cid'
import assert from 'node:assert/strict'

/**
 * A promise not to collect some blocks while work with them goes on: an add that has no pin yet, a pin that is being
 * checked. It ends with the process, so a crash leaves nothing behind.
 *
 * Take it before the work, and let it go only after the pin is durable.
 */
export interface Lease extends Disposable {
  /** Keeps the block from now on, stored or not. Costs 16 to 32 bytes. */
  protect(cid: CID): void

  /**
   * Keeps the block, and resolves when no removal of it is under way that began before.
   *
   * Afterwards the store tells the truth for as long as the lease lasts: a block that is there stays.
   */
  hold(cid: CID): Promise<void>
}

/** What an operator sees of a lease. */
export interface LeaseStatus {
  readonly reason: string
  readonly blockCount: number
}

/** The time of one collection. */
export interface Collection extends Disposable {
  /** Notes that the block is being removed, until the result is disposed. */
  beginRemoval(cid: CID): Disposable
}

/** Knows which blocks are in use by work under way, and who collects. */
export class LeaseBook {
  readonly #open = new Map<object, { reason: string, blocks: DigestSet }>()
  /** Of leases that were let go while a collection runs. */
  #retired: DigestSet[] = []
  #collecting = false
  readonly #removals = new Map<string, Promise<void>>()

  /** @param reason What the work is, for whoever asks why a block stays. */
  open (reason: string): Lease {
    const blocks = new DigestSet()
    const lease: Lease = {
      protect: (cid) => {
        assert(this.#open.has(lease), `Lease for ${reason} was let go`)
        blocks.add(cid)
      },
      hold: async (cid) => {
        lease.protect(cid)
        await this.#removals.get(multihashKey(cid))
      },
      [Symbol.dispose]: () => {
        if (this.#open.delete(lease) && this.#collecting && blocks.count > 0) this.#retired.push(blocks)
      }
    }
    this.#open.set(lease, { reason, blocks })
    return lease
  }

  /** Reports whether a lease keeps the block. One answer in 2^64 may be wrong, and then it is yes. */
  isProtected (cid: CID): boolean {
    for (const { blocks } of this.#open.values()) if (blocks.has(cid)) return true
    return this.#retired.some((blocks) => blocks.has(cid))
  }

  /**
   * Begins a collection. Leases let go while it runs keep protecting until it ends: the pin that follows a lease may
   * have become durable after the collection read the pins.
   *
   * @throws `UNAVAILABLE` while another one runs.
   */
  beginCollection (): Collection {
    if (this.#collecting) throw new HoldfastError('UNAVAILABLE', 'A collection runs already; try again when it has ended')
    this.#collecting = true
    return {
      beginRemoval: (cid) => this.#beginRemoval(multihashKey(cid)),
      [Symbol.dispose]: () => {
        this.#collecting = false
        this.#retired = []
      }
    }
  }

  /** The leases that are open, oldest first. */
  list (): LeaseStatus[] {
    return [...this.#open.values()].map(({ reason, blocks }) => ({ reason, blockCount: blocks.count }))
  }

  #beginRemoval (key: string): Disposable {
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#removals.set(key, promise)
    return {
      [Symbol.dispose]: () => {
        this.#removals.delete(key)
        resolve()
      }
    }
  }
}

/** A writer whose puts the lease protects before they touch the store. */
export function leasedWriter (writer: BlockWriter, lease: Lease): BlockWriter {
  return {
    put: async (block, options) => {
      lease.protect(block.cid)
      await writer.put(block, options)
    },
    putMany: async (blocks, options) => {
      for (const { cid } of blocks) lease.protect(cid)
      await writer.putMany(blocks, options)
    }
  }
}

/** A reader whose blocks the lease protects before they are looked for: what it finds, stays. */
export function leasedReader (reader: BlockReader, lease: Lease): BlockReader {
  return {
    get: async (cid, options) => {
      await lease.hold(cid)
      return await reader.get(cid, options)
    },
    has: async (cid, options) => {
      await lease.hold(cid)
      return await reader.has(cid, options)
    }
  }
}
