import { DigestSet, walkDag } from '@holdfast/dag'
import type { ApiNode } from '../api-node.ts'
import { type Exchange, progressReporter } from '../exchange.ts'
import type { ArgsOf, EventOf } from '../operations.ts'
import { locateBlock } from './read.ts'

/** Counts the blocks below some roots: each once for a root, and once in all. */
export async function dagStat (node: ApiNode, { paths }: ArgsOf<'dag-stat'>, exchange: Exchange<EventOf<'dag-stat'>>): Promise<void> {
  const { signal } = exchange
  const seen = new DigestSet()
  const unique = { blockCount: 0, byteLength: 0 }
  const total = { blockCount: 0, byteLength: 0 }
  for (const path of paths) {
    const { cid, blocks } = await locateBlock(node, path, exchange, { walk: true })
    using _session = blocks
    const dag = { cid: cid.toString(), blockCount: 0, byteLength: 0 }
    const report = progressReporter({ emit: async ({ progress }) => { await exchange.emit({ progress, counting: { ...dag } }) } })
    for await (const block of walkDag(blocks, [cid], { signal })) {
      const sums = seen.add(block.cid) ? [dag, total, unique] : [dag, total]
      for (const sum of sums) {
        sum.blockCount++
        sum.byteLength += block.bytes.byteLength
      }
      report(unique)
    }
    await exchange.emit({ dag })
  }
  await exchange.emit({ unique, total })
}
