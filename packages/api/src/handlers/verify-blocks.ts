import { HoldfastError, isErrorCode } from '@holdfast/core'
import { requireBlock } from '@holdfast/dag'
import { leasedWriter } from '@holdfast/pins'
import type { CID } from 'multiformats/cid'
import type { ApiNode } from '../api-node.ts'

/** What became of a damaged block: `found` and left, `removed`, not to be removed (`kept`), fetched again (`healed`), or removed and not to be had (`lost`). */
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
  /** `drop` removes what is damaged, `heal` also fetches it again. @default only tells */
  readonly repair?: 'drop' | 'heal' | undefined
  /** How long one block may take to be fetched, in milliseconds. @default no bound but that of fetches */
  readonly healTimeoutMs?: number | undefined
  onProgress?(progress: { readonly blockCount: number, readonly byteLength: number }): void
}

/**
 * Reads and hashes every block, yields each that does not match its CID, and goes on.
 *
 * A damaged block helps nobody: while it is here it is not fetched. Whoever keeps it gets it back only by healing.
 *
 * @throws `UNAVAILABLE` when it shall heal and no peer is connected: nothing is removed then.
 */
export async function * verifyBlocks (node: ApiNode, options: VerifyOptions): AsyncIterable<DamagedBlock> {
  const { signal, repair, onProgress = () => {} } = options
  if (repair === 'heal' && node.host.peers().length === 0) throw new HoldfastError('UNAVAILABLE', 'Damaged blocks are not replaced: no peer is connected that could have them, and nothing was removed. Connect to some, or use drop')
  let blockCount = 0
  let byteLength = 0
  for await (const cid of node.storedBlocks.list({ signal })) {
    const read = await readStored(node, cid, signal)
    if (read.damage === undefined) byteLength += read.byteLength
    else yield { cid, reason: read.damage, ...await repaired(node, cid, options) }
    onProgress({ blockCount: ++blockCount, byteLength })
  }
}

/** A block that went while we walked is no damage. */
async function readStored ({ storedBlocks }: ApiNode, cid: CID, signal: AbortSignal): Promise<{ readonly damage?: string, readonly byteLength: number }> {
  try {
    return { byteLength: (await storedBlocks.get(cid, { signal }))?.bytes.byteLength ?? 0 }
  } catch (err) {
    if (!isErrorCode(err, 'CORRUPT') && !isErrorCode(err, 'UNAVAILABLE') && !isErrorCode(err, 'LIMIT')) throw err
    return { damage: err.message, byteLength: 0 }
  }
}

type Outcome = Pick<DamagedBlock, 'outcome' | 'why'>

async function repaired (node: ApiNode, cid: CID, { signal, repair, healTimeoutMs }: VerifyOptions): Promise<Outcome> {
  if (repair === undefined) return { outcome: 'found' }
  const kept = await unlessRemoved(node, cid, signal)
  if (kept !== undefined) return kept
  return repair === 'drop' ? { outcome: 'removed' } : await healed(node, cid, { signal, healTimeoutMs })
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
    if ((await readStored(node, cid, signal)).damage === undefined) return { outcome: 'healed', why: 'it was stored anew' }
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
