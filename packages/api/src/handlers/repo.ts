import { collectGarbage, type CollectOptions, type CollectResult } from '@holdfast/pins'
import { HoldfastError } from '@holdfast/core'
import type { CID } from 'multiformats/cid'
import { statfs } from 'node:fs/promises'
import type { ApiNode } from '../api-node.ts'
import { type Exchange, progressReporter } from '../exchange.ts'
import type { ArgsOf, EventOf, ProgressEvent } from '../operations.ts'
import { verifyBlocks, type VerifyOptions } from './verify-blocks.ts'

export async function gc (node: ApiNode, { dryRun, full }: ArgsOf<'gc'>, exchange: Exchange<EventOf<'gc'>>): Promise<void> {
  const report = progressReporter(exchange)
  const collected = await collect(node, {
    signal: exchange.signal,
    dryRun: dryRun === true,
    full: full === true,
    onProgress: ({ phase, blockCount, removedByteLength }) => { report({ phase, blockCount, byteLength: removedByteLength }) }
  })
  await exchange.emit({ collected })
}

/** Removes what nothing keeps. */
export async function collect (node: ApiNode, options: CollectOptions): Promise<CollectResult> {
  const result = await collectGarbage(node, options)
  if (options.dryRun !== true) await dropQuarantined(node, options.signal)
  const { removedCount, removedByteLength } = result
  if (options.dryRun !== true) node.events.tell({ type: 'collected', removedCount, removedByteLength })
  return result
}

/**
 * Lets go of damaged blocks that nothing keeps. Some never were: where it is the name of a block that rotted, and not its bytes,
 * nobody can tell, and nobody can give it.
 */
async function dropQuarantined ({ engine, references, storedBlocks, leases }: ApiNode, signal: AbortSignal | undefined): Promise<void> {
  if (engine.integrity === undefined) return
  const isWanted = (cid: CID): boolean => references.isKept(cid) || leases.isProtected(cid)
  for await (const cid of engine.integrity.quarantined({ signal })) if (!isWanted(cid)) await storedBlocks.delete(cid, { signal, when: () => !isWanted(cid) })
}

export async function repoStat (node: ApiNode, _args: object, exchange: Exchange<EventOf<'repo-stat'>>): Promise<void> {
  const { repository: { folder, version }, engine } = node
  const [usage, disk, storage] = await Promise.all([node.blocks.usage(exchange), statfs(folder), engine.figures()])
  await exchange.emit({
    repository: folder,
    version,
    engine: engine.name,
    durability: engine.durability,
    storage,
    ...usage,
    cache: node.cache.status,
    pinCount: node.pins.count,
    journalByteLength: node.journal.byteLength,
    freeByteLength: disk.bavail * disk.bsize
  })
}

/** Checks the blocks; reports each that does not match its CID and goes on. */
export async function repoVerify (node: ApiNode, { sample }: ArgsOf<'repo-verify'>, exchange: Exchange<EventOf<'repo-verify'>>): Promise<void> {
  if (sample !== undefined && node.engine.integrity === undefined) throw new HoldfastError('UNSUPPORTED', `The engine ${node.engine.name} cannot check a sample: leave out --sample`)
  const report = progressReporter(exchange)
  const counts = { blockCount: 0, damagedCount: 0, indexRepairCount: 0, isIndexBroken: false }
  for await (const { cid, reason } of verifyBlocks(node, { signal: exchange.signal, sample, ...counting(counts, report) })) {
    counts.damagedCount++
    await exchange.emit({ damaged: { cid: cid.toString(), reason } })
  }
  await exchange.emit({ verified: counts })
}

/** Checks the blocks and fetches those that are damaged from peers; nothing is removed before its replacement is here. */
export async function repoRepair (node: ApiNode, { known }: ArgsOf<'repo-repair'>, exchange: Exchange<EventOf<'repo-repair'>>): Promise<void> {
  const report = progressReporter(exchange)
  const counts = { blockCount: 0, damagedCount: 0, repairedCount: 0, indexRepairCount: 0, isIndexBroken: false }
  for await (const { cid, outcome, why } of verifyBlocks(node, { signal: exchange.signal, repair: 'heal', known, ...counting(counts, report) })) {
    counts.damagedCount++
    if (outcome === 'healed') counts.repairedCount++
    await exchange.emit({ damaged: { cid: cid.toString(), isRepaired: outcome === 'healed', why } })
  }
  await exchange.emit({ repaired: counts })
}

function counting (counts: { blockCount: number, indexRepairCount: number, isIndexBroken: boolean }, report: (progress: ProgressEvent['progress']) => void): Pick<VerifyOptions, 'onProgress' | 'onIndexChecked'> {
  return {
    onProgress (progress) {
      counts.blockCount = progress.blockCount
      report({ blockCount: progress.blockCount, byteLength: progress.byteLength })
    },
    onIndexChecked (index) { Object.assign(counts, index) }
  }
}

/** Begins or pauses the check in the background, and tells how far it is. */
export async function repoScrub (node: ApiNode, { action, bytesPerSecond }: ArgsOf<'repo-scrub'>, exchange: Exchange<EventOf<'repo-scrub'>>): Promise<void> {
  const scrub = node.engine.integrity?.scrub
  if (scrub === undefined) throw new HoldfastError('UNSUPPORTED', `The engine ${node.engine.name} has no scrub: use repo verify`)
  const status = action === 'start' ? await scrub.start({ bytesPerSecond }) : action === 'pause' ? await scrub.pause() : scrub.status()
  await exchange.emit({ scrub: status })
}
