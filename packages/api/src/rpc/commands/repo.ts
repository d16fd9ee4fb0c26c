import { HoldfastError } from '@holdfast/core'
import { progressReporter } from '../../exchange.ts'
import { collect, repoStat } from '../../handlers/repo.ts'
import { type DamagedBlock, verifyBlocks } from '../../handlers/verify-blocks.ts'
import type { RepoStatEvent } from '../../operations.ts'
import { callerMistake, parseDuration } from '../rpc-request.ts'
import { type RpcCommand, rpcCommand } from '../rpc-command.ts'
import { callExchange } from './call-exchange.ts'
import { link } from './dag.ts'

export const gc: RpcCommand = rpcCommand({
  options: { 'stream-errors': ['bool'], quiet: ['bool', 'q'], silent: ['bool'] },
  async run ({ node, options: { silent = false }, signal, reply }) {
    reply.asValues()
    await collect(node, { signal, onRemoved: async (cid) => { if (!silent) await reply.emit({ Key: link(cid) }) } })
  }
})

/** `StorageMax` is `storageMaxBytes`, or what fits on the disk. */
export const stat: RpcCommand = rpcCommand({
  options: { 'size-only': ['bool', 's'], human: ['bool', 'H'] },
  async run (call) {
    const { node, options, reply } = call
    let found: RepoStatEvent | undefined
    await repoStat(node, {}, callExchange<RepoStatEvent>(call, async (event) => { found = event }))
    if (found === undefined) throw new Error('A repository has its figures')
    const { byteLength, freeByteLength, blockCount, repository, version, storage } = found
    const lengths = { RepoSize: byteLength, StorageMax: storage.maxByteLength ?? byteLength + freeByteLength }
    await reply.one(options['size-only'] === true ? lengths : { ...lengths, NumObjects: blockCount, RepoPath: repository, Version: `fs-repo@${version}` })
  }
})

/** How long one block may take to be fetched again, as Kubo has it. */
const DEFAULT_HEAL_TIMEOUT = '30s'

/**
 * Reads and hashes every block; `drop` removes what is damaged, `heal` fetches it again first, and leaves what nobody has.
 *
 * It ends with a failure when something damaged is left or lost, after it told of all.
 *
 * @see kubo core/commands/repo.go
 */
export const verify: RpcCommand = rpcCommand({
  options: { drop: ['bool'], heal: ['bool'], 'heal-timeout': ['string'], offline: ['bool'] },
  async run (call) {
    const { node, options: { drop = false, heal = false, 'heal-timeout': timeout = DEFAULT_HEAL_TIMEOUT, offline = false }, signal, reply } = call
    if (heal && offline) throw callerMistake('Blocks are not fetched again offline: use drop, or leave out offline')
    const report = progressReporter({ emit: async ({ progress: { blockCount = 0 } }) => { await reply.emit({ Msg: '', Progress: blockCount }) } })
    const healTimeoutMs = timeout === '0' ? 0 : parseDuration(timeout)
    const counts = { damaged: 0, removed: 0, kept: 0, healed: 0, lost: 0 }
    for await (const block of verifyBlocks(node, { signal, repair: heal ? 'heal' : drop ? 'drop' : undefined, healTimeoutMs: healTimeoutMs === 0 ? undefined : healTimeoutMs, onProgress: report })) {
      count(counts, block)
      await reply.emit({ Msg: `block ${block.cid} was corrupt (${block.reason})${fate(block)}`, Progress: 0 })
    }
    const summary = summaryOf(counts)
    const isSound = heal || drop ? counts.kept + counts.lost === 0 : counts.damaged === 0
    if (!isSound) throw new HoldfastError('CORRUPT', summary)
    await reply.emit({ Msg: summary, Progress: 0 })
  }
})

interface VerifyCounts {
  damaged: number
  removed: number
  kept: number
  healed: number
  lost: number
}

function count (counts: VerifyCounts, { outcome }: DamagedBlock): void {
  counts.damaged++
  // What was fetched again took the place of what was damaged.
  if (outcome === 'removed' || outcome === 'healed') counts.removed++
  if (outcome === 'kept' || outcome === 'healed' || outcome === 'lost') counts[outcome]++
}

function fate ({ outcome, why = '' }: DamagedBlock): string {
  switch (outcome) {
    case 'found': return ''
    case 'removed': return ', removed'
    case 'kept': return `, failed to remove (${why})`
    case 'healed': return ', removed, healed'
    case 'lost': return `, failed to heal (${why})`
  }
}

function summaryOf ({ damaged, removed, kept, healed, lost }: VerifyCounts): string {
  if (damaged === 0) return 'verify complete, all blocks validated.'
  const parts = [[removed, 'removed'], [kept, 'failed to remove'], [healed, 'healed'], [lost, 'failed to heal']] as const
  return [`verify complete, ${damaged} blocks corrupt`, ...parts.filter(([count]) => count > 0).map(([count, what]) => `${count} ${what}`)].join(', ')
}

export const version: RpcCommand = rpcCommand({
  options: { quiet: ['bool', 'q'] },
  async run ({ node, reply }) { await reply.one({ Version: String(node.repository.version) }) }
})
