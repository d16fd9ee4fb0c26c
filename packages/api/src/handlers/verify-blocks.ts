import { HoldfastError, isErrorCode } from '@holdfast/core'
import { requireBlock } from '@holdfast/dag'
import { leasedWriter } from '@holdfast/pins'
import type { CID } from 'multiformats/cid'
import type { ApiNode } from '../api-node.ts'
import type { EngineIntegrity } from '../storage-engine.ts'

/** What became of a damaged block: `found` and left, `removed`, not to be removed (`kept`), fetched again (`healed`), or not to be had (`lost`). */
export interface DamagedBlock {
  readonly cid: CID
  /** What is wrong with it. */
  readonly reason: string
  readonly outcome: 'found' | 'removed' | 'kept' | 'healed' | 'lost'
  /** Why it was kept, or lost. */
  readonly why?: string
}

export interface VerifyOptions {
  readonly signal: AbortSignal
  /**
   * `drop` removes what is damaged; `heal` fetches it again and puts it in its place, so that what is left of a block that
   * nobody has stays. @default only tells
   */
  readonly repair?: 'drop' | 'heal' | undefined
  /** Hashes one block in so many, where the engine can do that. @default 1 */
  readonly sample?: number | undefined
  /** Takes only what is known to be damaged, where the engine knows. @default checks first */
  readonly known?: boolean | undefined
  /** How long one block may take to be fetched, in milliseconds. @default no bound but that of fetches */
  readonly healTimeoutMs?: number | undefined
  onProgress?(progress: { readonly blockCount: number, readonly byteLength: number }): void
  /** Told of the index once all was looked at, by an engine that has one. */
  onIndexChecked?(index: { readonly indexRepairCount: number, readonly isIndexBroken: boolean }): void
}

/**
 * Reads and hashes every block, yields each that does not match its CID, and goes on.
 *
 * An engine with a quarantine checks by itself, and damaged blocks count as absent from then on; those of before are told too.
 *
 * @throws `UNAVAILABLE` when it shall heal and no peer is connected.
 */
export async function * verifyBlocks (node: ApiNode, options: VerifyOptions): AsyncIterable<DamagedBlock> {
  const { signal, repair, onProgress = () => {} } = options
  if (repair === 'heal' && node.host.peers().length === 0) throw new HoldfastError('UNAVAILABLE', 'Damaged blocks are not replaced: no peer is connected that could have them. Connect to some, or use drop')
  if (node.engine.integrity !== undefined) return yield * quarantinedBlocks(node, node.engine.integrity, options)
  let blockCount = 0
  let byteLength = 0
  for await (const cid of node.storedBlocks.list({ signal })) {
    const read = await readStored(node, cid, signal)
    if (read.failure === undefined) byteLength += read.byteLength
    else yield { cid, reason: read.failure, ...await repaired(node, cid, { ...options, isProven: read.isProven }) }
    onProgress({ blockCount: ++blockCount, byteLength })
  }
}

async function * quarantinedBlocks (node: ApiNode, integrity: EngineIntegrity, options: VerifyOptions): AsyncIterable<DamagedBlock> {
  const { signal, sample, known = false, onProgress, onIndexChecked } = options
  if (!known) {
    const { blockCount, byteLength, indexRepairCount, isIndexBroken } = await integrity.check({ sample, signal, onProgress: (progress) => { onProgress?.(progress) } })
    onProgress?.({ blockCount, byteLength })
    onIndexChecked?.({ indexRepairCount, isIndexBroken })
  }
  for await (const cids of inBatches(integrity.quarantined({ signal }))) {
    yield * await Promise.all(cids.map(async (cid) => ({ cid, reason: `Bytes do not match ${cid}: the block is quarantined`, ...await repaired(node, cid, options) })))
  }
}

/** Blocks that are fetched at once: one that nobody has takes as long as a fetch goes on, and should not hold up each of the others. */
const HEALS_AT_ONCE = 32

async function * inBatches (cids: AsyncIterable<CID>): AsyncGenerator<CID[]> {
  let batch: CID[] = []
  for await (const cid of cids) {
    if (batch.push(cid) < HEALS_AT_ONCE) continue
    yield batch
    batch = []
  }
  if (batch.length > 0) yield batch
}

/** What reading a block showed. Wrong bytes are proof of damage; a failure to read them may be that of the moment, as when too many files are open. */
type Reading = { readonly failure?: undefined, readonly byteLength: number } | { readonly failure: string, readonly isProven: boolean }

/** A block that went while we walked is no damage. */
async function readStored ({ storedBlocks }: ApiNode, cid: CID, signal: AbortSignal): Promise<Reading> {
  try {
    return { byteLength: (await storedBlocks.get(cid, { signal }))?.bytes.byteLength ?? 0 }
  } catch (err) {
    const isProven = isErrorCode(err, 'CORRUPT')
    if (!isProven && !isErrorCode(err, 'UNAVAILABLE') && !isErrorCode(err, 'LIMIT')) throw err
    return { failure: err.message, isProven }
  }
}

type Outcome = Pick<DamagedBlock, 'outcome' | 'why'>

const UNPROVEN = 'it could not be read now, which proves no damage'

async function repaired (node: ApiNode, cid: CID, { signal, repair, healTimeoutMs, isProven = true }: VerifyOptions & { readonly isProven?: boolean }): Promise<Outcome> {
  if (repair === undefined) return { outcome: 'found' }
  if (!isProven) return { outcome: 'kept', why: UNPROVEN }
  // What is damaged is not in the way: a reader fetches the block anew, and a put replaces it.
  if (repair === 'heal') return await healed(node, cid, { signal, healTimeoutMs })
  return await unlessRemoved(node, cid, signal) ?? { outcome: 'removed' }
}

/**
 * Removes the block, unless somebody just stored it anew.
 *
 * It is read again inside of a collection: a put that ended before is seen by that, one that comes later by its lease, which
 * lasts as long as the collection.
 */
async function unlessRemoved (node: ApiNode, cid: CID, signal: AbortSignal): Promise<Outcome | undefined> {
  try {
    using collection = node.leases.beginCollection()
    using removal = new DisposableStack()
    const read = await readStored(node, cid, signal)
    if (read.failure === undefined) return { outcome: 'healed', why: 'it was stored anew' }
    if (!read.isProven) return { outcome: 'kept', why: UNPROVEN }
    let isInUse = false
    await node.blocks.delete(cid, {
      signal,
      when: () => {
        isInUse = node.leases.isProtected(cid)
        if (!isInUse) removal.use(collection.beginRemoval(cid))
        return !isInUse
      }
    })
    return isInUse ? { outcome: 'kept', why: 'it is in use by work that is not finished' } : undefined
  } catch (err) {
    signal.throwIfAborted()
    return { outcome: 'kept', why: messageOf(err) }
  }
}

/** Put, so that it is no cache: whatever kept the damaged block keeps this one. */
async function healed (node: ApiNode, cid: CID, { signal, healTimeoutMs }: { readonly signal: AbortSignal, readonly healTimeoutMs: number | undefined }): Promise<Outcome> {
  const ending = new AbortController()
  const forward = (): void => { ending.abort(signal.reason) }
  signal.addEventListener('abort', forward, { once: true })
  const timer = healTimeoutMs === undefined ? undefined : setTimeout(() => { ending.abort(new HoldfastError('UNAVAILABLE', `Nobody gave the block within ${healTimeoutMs / 1000} s`)) }, healTimeoutMs)
  try {
    using lease = node.leases.open('repo verify')
    using reader = node.openReader(cid, { signal: ending.signal })
    await leasedWriter(node.blocks, lease).put(await requireBlock(reader, cid, ending), ending)
    return { outcome: 'healed' }
  } catch (err) {
    signal.throwIfAborted()
    return { outcome: 'lost', why: messageOf(err) }
  } finally {
    clearTimeout(timer)
    signal.removeEventListener('abort', forward)
  }
}

function messageOf (err: unknown): string {
  return err instanceof Error ? err.message : String(err)
}
