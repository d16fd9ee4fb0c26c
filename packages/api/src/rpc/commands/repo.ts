import { HoldfastError } from '@holdfast/core'
import { collect, repoStat, repoVerify } from '../../handlers/repo.ts'
import type { RepoStatEvent } from '../../operations.ts'
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

/** `StorageMax` is what fits on the disk: this node has no other bound. */
export const stat: RpcCommand = rpcCommand({
  options: { 'size-only': ['bool', 's'], human: ['bool', 'H'] },
  async run (call) {
    const { node, options, reply } = call
    let found: RepoStatEvent | undefined
    await repoStat(node, {}, callExchange<RepoStatEvent>(call, async (event) => { found = event }))
    if (found === undefined) throw new Error('A repository has its figures')
    const { byteLength, freeByteLength, blockCount, repository, version } = found
    const lengths = { RepoSize: byteLength, StorageMax: byteLength + freeByteLength }
    await reply.one(options['size-only'] === true ? lengths : { ...lengths, NumObjects: blockCount, RepoPath: repository, Version: `fs-repo@${version}` })
  }
})

/** Reads and hashes every block. It ends with a failure when one is damaged, after it told of all. */
export const verify: RpcCommand = rpcCommand({
  options: { drop: ['bool'], heal: ['bool'], 'heal-timeout': ['string'] },
  async run (call) {
    const { node, options, reply } = call
    if (options.drop === true || options.heal === true) throw new HoldfastError('UNSUPPORTED', 'Damaged blocks are not removed or fetched again by repo verify yet')
    await repoVerify(node, {}, callExchange(call, async (event) => {
      if ('progress' in event) return await reply.emit({ Msg: '', Progress: event.progress.blockCount ?? 0 })
      if ('damaged' in event) return await reply.emit({ Msg: `block ${event.damaged.cid} was corrupt (${event.damaged.reason})`, Progress: 0 })
      const { damagedCount } = event.verified
      if (damagedCount > 0) throw new HoldfastError('CORRUPT', `verify complete, ${damagedCount} blocks corrupt`)
      await reply.emit({ Msg: 'verify complete, all blocks validated.', Progress: 0 })
    }))
  }
})

export const version: RpcCommand = rpcCommand({
  options: { quiet: ['bool', 'q'] },
  async run ({ node, reply }) { await reply.one({ Version: String(node.repository.version) }) }
})
