import { isErrorCode } from '@holdfast/core'
import { collectGarbage, type CollectOptions, type CollectResult } from '@holdfast/pins'
import { statfs } from 'node:fs/promises'
import type { ApiNode } from '../api-node.ts'
import { type Exchange, progressReporter } from '../exchange.ts'
import type { ArgsOf, EventOf } from '../operations.ts'

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
  const { signal } = exchange
  const report = progressReporter(exchange)
  let blockCount = 0
  let damagedCount = 0
  let byteLength = 0
  for await (const cid of node.storedBlocks.list({ signal })) {
    try {
      // A block that went while we walked is no damage.
      byteLength += (await node.storedBlocks.get(cid, { signal }))?.bytes.byteLength ?? 0
    } catch (err) {
      if (!isErrorCode(err, 'CORRUPT') && !isErrorCode(err, 'UNAVAILABLE') && !isErrorCode(err, 'LIMIT')) throw err
      damagedCount++
      await exchange.emit({ damaged: { cid: cid.toString(), reason: err.message } })
    }
    report({ blockCount: ++blockCount, byteLength })
  }
  await exchange.emit({ verified: { blockCount, damagedCount } })
}
