import { collectGarbage, type CollectOptions, type CollectResult } from '@holdfast/pins'
import { statfs } from 'node:fs/promises'
import type { ApiNode } from '../api-node.ts'
import { type Exchange, progressReporter } from '../exchange.ts'
import type { ArgsOf, EventOf } from '../operations.ts'
import { verifyBlocks } from './verify-blocks.ts'

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
  const { removedCount, removedByteLength } = result
  if (options.dryRun !== true) node.events.tell({ type: 'collected', removedCount, removedByteLength })
  return result
}

export async function repoStat (node: ApiNode, _args: object, exchange: Exchange<EventOf<'repo-stat'>>): Promise<void> {
  const { folder, version, engine } = node.repository
  const [usage, disk] = await Promise.all([node.blocks.usage(exchange), statfs(folder)])
  await exchange.emit({
    repository: folder,
    version,
    engine,
    ...usage,
    cache: node.cache.status,
    pinCount: node.pins.count,
    journalByteLength: node.journal.byteLength,
    freeByteLength: disk.bavail * disk.bsize
  })
}

/** Reads and hashes every block; reports each that does not match its CID and goes on. */
export async function repoVerify (node: ApiNode, _args: object, exchange: Exchange<EventOf<'repo-verify'>>): Promise<void> {
  const report = progressReporter(exchange)
  let blockCount = 0
  let damagedCount = 0
  const onProgress = (progress: { blockCount: number, byteLength: number }): void => {
    blockCount = progress.blockCount
    report(progress)
  }
  for await (const { cid, reason } of verifyBlocks(node, { signal: exchange.signal, onProgress })) {
    damagedCount++
    await exchange.emit({ damaged: { cid: cid.toString(), reason } })
  }
  await exchange.emit({ verified: { blockCount, damagedCount } })
}
