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

/** A lease of work that passes over DAGs which are kept already. */
export interface DagLease extends Lease {
  /** Keeps a DAG whose edges are known: the DAG node, and with it all that its edges lead to. Costs about 100 bytes. */
  protectDag(cid: CID): void
}

/** A lease on the blocks that were protected last, for readers: whoever reads on needs those it met long ago no more. */
export interface LeaseWindow extends Lease {
  /** Lets all blocks go; the window stays open. */
  clear(): void
}

/** What an operator sees of a lease. */
export interface LeaseStatus {
  readonly reason: string
  readonly blockCount: number
}

/** Blocks that are being removed, until it is disposed. */
export interface Removals extends Disposable {
  add(cid: CID): void
}

/** The time of one collection. */
export interface Collection extends Disposable {
  /** Notes that the block is being removed, until the result is disposed. */
  beginRemoval(cid: CID): Disposable

  /** The same for blocks that are removed together. */
  beginRemovals(): Removals
}

/** What a lease keeps. */
interface Protected {
  readonly blocks: DigestSet
  /** DAG nodes whose edges must stay, by codec and multihash. Exact: a node that is wrongly kept would stay for ever. */
  readonly dags: ReadonlySet<string>
}

function dagKey (cid: CID): string {
  return `${cid.code} ${multihashKey(cid)}`
}

/** Knows which blocks are in use by work under way, and who collects. */
export class LeaseBook {
  readonly #open = new Map<object, Protected & { readonly reason: string }>()
  /** Of leases that were let go while a collection runs. */
  #retired: Protected[] = []
  readonly #windows = new Set<Set<string>>()
  readonly #releaseListeners: Array<() => void> = []
  #collecting = false
  readonly #removals = new Set<{ readonly blocks: DigestSet, readonly ended: Promise<void> }>()

  /** @param reason What the work is, for whoever asks why a block stays. */
  open (reason: string): DagLease {
    const blocks = new DigestSet()
    const dags = new Set<string>()
    const lease: DagLease = {
      protect: (cid) => {
        assert(this.#open.has(lease), `Lease for ${reason} was let go`)
        blocks.add(cid)
      },
      hold: async (cid) => {
        lease.protect(cid)
        await this.#removalOf(cid)
      },
      protectDag: (cid) => {
        lease.protect(cid)
        dags.add(dagKey(cid))
      },
      [Symbol.dispose]: () => {
        if (!this.#open.delete(lease)) return
        if (this.#collecting && blocks.count > 0) this.#retired.push({ blocks, dags })
        this.#released()
      }
    }
    this.#open.set(lease, { reason, blocks, dags })
    return lease
  }

  /** Has `listener` called whenever a lease, or a collection, ends: what it kept may go now. Windows are left out. */
  onRelease (listener: () => void): void {
    this.#releaseListeners.push(listener)
  }

  /** Opens a lease that lets the block go which was protected longest ago when there are more than `maxBlocks`. Costs about 100 bytes a block. */
  openWindow ({ maxBlocks }: { readonly maxBlocks: number }): LeaseWindow {
    const keys = new Set<string>()
    this.#windows.add(keys)
    const protect = (key: string): void => {
      keys.delete(key)
      keys.add(key)
      if (keys.size <= maxBlocks) return
      for (const oldest of keys.values().take(1)) keys.delete(oldest)
    }
    return {
      protect: (cid) => { protect(multihashKey(cid)) },
      hold: async (cid) => {
        protect(multihashKey(cid))
        await this.#removalOf(cid)
      },
      clear: () => { keys.clear() },
      [Symbol.dispose]: () => { this.#windows.delete(keys) }
    }
  }

  /** Reports whether a lease keeps the block. One answer in 2^64 may be wrong, and then it is yes. */
  isProtected (cid: CID): boolean {
    for (const { blocks } of this.#open.values()) if (blocks.has(cid)) return true
    if (this.#windows.size > 0 && this.#isInWindow(multihashKey(cid))) return true
    return this.#retired.some(({ blocks }) => blocks.has(cid))
  }

  /** Reports whether a lease keeps the DAG below the node: its edges must stay. */
  isDagProtected (cid: CID): boolean {
    const key = dagKey(cid)
    for (const { dags } of this.#open.values()) if (dags.has(key)) return true
    return this.#retired.some(({ dags }) => dags.has(key))
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
      beginRemoval: (cid) => this.beginRemoval(cid),
      beginRemovals: () => this.#beginRemovals(),
      [Symbol.dispose]: () => {
        this.#collecting = false
        this.#retired = []
        this.#released()
      }
    }
  }

  /** Notes that the block is being removed, until the result is disposed: whoever holds it from now on waits for that. */
  beginRemoval (cid: CID): Disposable {
    const removals = this.#beginRemovals()
    removals.add(cid)
    return removals
  }

  /** The leases that are open, oldest first; the windows of readers are left out. */
  list (): LeaseStatus[] {
    return [...this.#open.values()].map(({ reason, blocks }) => ({ reason, blockCount: blocks.count }))
  }

  #beginRemovals (): Removals {
    const { promise: ended, resolve } = Promise.withResolvers<void>()
    const blocks = new DigestSet()
    const removals = { blocks, ended }
    this.#removals.add(removals)
    return {
      add: (cid) => { blocks.add(cid) },
      [Symbol.dispose]: () => {
        this.#removals.delete(removals)
        resolve()
      }
    }
  }

  /** Resolves when those that remove the block now have done so. */
  async #removalOf (cid: CID): Promise<void> {
    await Promise.all([...this.#removals].filter(({ blocks }) => blocks.has(cid)).map(({ ended }) => ended))
  }

  #released (): void {
    for (const listener of this.#releaseListeners) listener()
  }

  #isInWindow (key: string): boolean {
    for (const keys of this.#windows) if (keys.has(key)) return true
    return false
  }
}

/** A writer whose puts the lease protects before they touch the store. */
export function leasedWriter (writer: BlockWriter, lease: Lease): BlockWriter {
  return {
    releasesBytes: writer.releasesBytes,
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
