import { type Blockstore, byteLengthOf, deleteBlocks } from '@holdfast/blockstore'
import type { AbortOptions } from '@holdfast/core'
import { DigestSet } from '@holdfast/dag'
import type { CID } from 'multiformats/cid'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Collection, LeaseBook } from './leases.ts'
import type { References } from './references/references.ts'

/** How far a collection has come: `blockCount` counts blocks found below new pins, then blocks looked at. */
export interface CollectProgress {
  readonly phase: 'mark' | 'sweep'
  readonly blockCount: number
  readonly removedCount: number
  readonly removedByteLength: number
}

export interface CollectOptions extends AbortOptions {
  /** Whether to count only what would be removed. @default false */
  dryRun?: boolean
  /**
   * Whether to look at every stored block instead of those that may be garbage by what the index knows: for blocks that
   * came into the store behind its back. @default false
   */
  full?: boolean
  onProgress?: (progress: CollectProgress) => void
  /** Awaited for every block that was removed, or with `dryRun` would be. */
  onRemoved?: ((cid: CID) => Promise<void>) | undefined
}

export interface CollectResult {
  /** Blocks that were looked at and stay. */
  readonly keptCount: number
  readonly removedCount: number
  readonly removedByteLength: number
}

/** What a collection works on. */
export interface CollectDeps {
  readonly blocks: Blockstore
  readonly references: References
  readonly leases: LeaseBook
  /** Knows the blocks that were only fetched; these go too. */
  readonly cache?: { cids(): Iterable<CID> } | undefined
}

/** Blocks removed together: they share one sync, and whoever wants one of them again waits for all. */
const REMOVALS_TOGETHER = 8192

/** Blocks between two reports of progress, and two chances for others to run. */
const BLOCKS_PER_PROGRESS = 1024

/**
 * Removes every block that no pin and no lease keeps.
 *
 * Looks at those blocks alone that lost what kept them, or never had anything; after a crash, or when the index is new, at
 * every block once. Nothing stops meanwhile: blocks and pins come and go, provided that whoever adds holds a lease until the pin
 * is durable. A collection that ends early is taken up by the next.
 *
 * @throws `NOT_FOUND`, `CORRUPT` or `INVALID` naming pin and block when a block below a pin that was not walked before is
 * absent, damaged or unreadable: nothing was removed then; `UNAVAILABLE` while another collection runs, or when the medium failed.
 */
export async function collectGarbage (deps: CollectDeps, options: CollectOptions = {}): Promise<CollectResult> {
  const { signal, onProgress, full = false } = options
  signal?.throwIfAborted()
  // Before the pins are followed: the pin of a lease that was let go by now is among them.
  using collection = deps.leases.beginCollection()
  await deps.references.settle({ signal, onProgress: ({ blockCount }) => { onProgress?.({ phase: 'mark', blockCount, removedCount: 0, removedByteLength: 0 }) } })
  const sweep = new Sweep(deps, collection, options)
  if (full || !deps.references.isComplete) await sweepAll(deps, sweep, options)
  else await sweepNoted(deps, sweep, options)
  return sweep.end()
}

async function sweepNoted ({ references, cache }: CollectDeps, sweep: Sweep, { dryRun = false }: CollectOptions): Promise<void> {
  for await (const batch of references.garbage()) {
    const left: CID[] = []
    for (const cid of batch.cids) await sweep.take({ cid, left, unreferencedAsOf: batch.unreferencedAsOf })
    if (!dryRun) sweep.whenDone(() => { if (left.length < batch.cids.length) batch.keep(left) })
  }
  for (const cid of cache?.cids() ?? []) await sweep.take({ cid })
  await sweep.flush()
}

/** Looks at every stored block, and notes those that may be garbage later: from then on the noted ones are all that there are. */
async function sweepAll ({ blocks, references }: CollectDeps, sweep: Sweep, { signal, dryRun = false }: CollectOptions): Promise<void> {
  const noted = references.noted()
  const left: CID[] = []
  const noteLeft = (): void => { for (const cid of left.splice(0)) if (!dryRun) references.note(cid) }
  for await (const cid of blocks.list({ signal })) {
    await sweep.look({ cid, left })
    noteLeft()
  }
  await sweep.flush()
  noteLeft()
  if (dryRun) return
  noted.forget()
  references.markComplete()
}

/** What is kept by an edge is noted again when it loses that; what is kept by a lease, or a pin whose edges come later, stays noted. */
type KeptBy = 'edge' | 'other'

/** A block that may be garbage. */
interface Candidate {
  readonly cid: CID
  /** Where it is added when it may be garbage later, at the latest by the next `flush`. */
  readonly left?: CID[] | undefined
  /** What `edgeAdditions` was when no edge led to it. */
  readonly unreferencedAsOf?: number | undefined
}

/** Looks at blocks one after the other, and removes what nothing keeps. */
class Sweep {
  readonly #deps: CollectDeps
  readonly #collection: Collection
  readonly #options: CollectOptions
  /** A block may be noted twice; only one that was removed is gone the second time. */
  readonly #told: DigestSet | undefined
  #waiting: Candidate[] = []
  #done: Array<() => void> = []
  #blockCount = 0
  #keptCount = 0
  #removedCount = 0
  #removedByteLength = 0

  constructor (deps: CollectDeps, collection: Collection, options: CollectOptions) {
    this.#deps = deps
    this.#collection = collection
    this.#options = options
    this.#told = options.dryRun === true ? new DigestSet() : undefined
  }

  /** Looks at a block that is probably kept: then that is all. */
  async look (candidate: Candidate): Promise<void> {
    const why = this.#whyKept(candidate)
    if (why === undefined) return await this.take(candidate)
    this.#keep(candidate, why)
    await this.#lookedAtOne()
  }

  /** Has a block removed that is probably not kept; whether it is, is looked at then. */
  async take (candidate: Candidate): Promise<void> {
    this.#waiting.push(candidate)
    if (this.#waiting.length === REMOVALS_TOGETHER) await this.flush()
    await this.#lookedAtOne()
  }

  /** Has `done` called when all that were taken so far are removed, or stay. */
  whenDone (done: () => void): void {
    this.#done.push(done)
  }

  /** Resolves when what waits is removed. */
  async flush (): Promise<void> {
    const waiting = this.#waiting
    const done = this.#done
    this.#waiting = []
    this.#done = []
    if (this.#told === undefined) await this.#remove(waiting)
    else await this.#count(waiting, this.#told)
    for (const tell of done) tell()
  }

  end (): CollectResult {
    this.#report()
    return { keptCount: this.#keptCount, removedCount: this.#removedCount, removedByteLength: this.#removedByteLength }
  }

  async #remove (waiting: readonly Candidate[]): Promise<void> {
    const whys = new Map<number, KeptBy>()
    // A lease that comes from here on waits until the block is gone before it looks for it.
    using removals = this.#collection.beginRemovals()
    const byteLengths = await deleteBlocks(this.#deps.blocks, waiting.map(({ cid }) => cid), {
      signal: this.#options.signal,
      when: (cid, index) => {
        const why = this.#whyKept(waiting[index] ?? { cid })
        if (why === undefined) removals.add(cid)
        else whys.set(index, why)
        return why === undefined
      }
    })
    for (const [index, candidate] of waiting.entries()) {
      const byteLength = byteLengths[index]
      const why = whys.get(index)
      if (why !== undefined) this.#keep(candidate, why)
      else if (byteLength !== undefined) await this.#tellRemoved(candidate.cid, byteLength)
    }
  }

  /** Tells what would go. */
  async #count (waiting: readonly Candidate[], told: DigestSet): Promise<void> {
    for (const candidate of waiting) {
      const why = this.#whyKept(candidate)
      if (why !== undefined) {
        this.#keep(candidate, why)
        continue
      }
      const byteLength = await byteLengthOf(this.#deps.blocks, candidate.cid)
      if (byteLength !== undefined && told.add(candidate.cid)) await this.#tellRemoved(candidate.cid, byteLength)
    }
  }

  #keep ({ cid, left }: Candidate, why: KeptBy): void {
    this.#keptCount++
    if (why === 'other') left?.push(cid)
  }

  async #lookedAtOne (): Promise<void> {
    this.#options.signal?.throwIfAborted()
    if (++this.#blockCount % BLOCKS_PER_PROGRESS !== 0) return
    this.#report()
    await nextTurn()
  }

  async #tellRemoved (cid: CID, byteLength: number): Promise<void> {
    this.#removedCount++
    this.#removedByteLength += byteLength
    if (this.#options.onRemoved !== undefined) await this.#options.onRemoved(cid)
  }

  #whyKept ({ cid, unreferencedAsOf }: Candidate): KeptBy | undefined {
    const { references, leases } = this.#deps
    const { store } = references
    // While no edge came, none leads to it.
    if (unreferencedAsOf !== store.edgeAdditions && store.isReferenced(cid)) return 'edge'
    return references.isPinned(cid) || leases.isProtected(cid) ? 'other' : undefined
  }

  #report (): void {
    this.#options.onProgress?.({ phase: 'sweep', blockCount: this.#blockCount, removedCount: this.#removedCount, removedByteLength: this.#removedByteLength })
  }
}
