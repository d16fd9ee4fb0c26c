import { HoldfastError } from '@holdfast/core/errors'
import { command } from '../command.ts'
import { formatBytes, printable } from '../terminal/format.ts'

export const repoStat = command({
  usage: 'repo stat',
  summary: 'Count blocks, bytes and pins',
  flags: {},

  async run (context) {
    for await (const answer of context.daemon.call('repo-stat', {}, context)) {
      if (answer.type !== 'event') continue
      const { event } = answer
      if (context.isJson) {
        context.print(JSON.stringify(event))
        continue
      }
      context.print(`Repository  ${printable(event.repository)}`)
      context.print(`Version     ${event.version}, blocks in ${event.engine}`)
      context.print(`Blocks      ${event.blockCount}, together ${formatBytes(event.byteLength)}`)
      context.print(`Cache       ${event.cache.blockCount} of them, ${formatBytes(event.cache.byteLength)} of at most ${formatBytes(event.cache.maxBytes)}`)
      context.print(`Pins        ${event.pinCount}, journal ${formatBytes(event.journalByteLength)}`)
      context.print(`Disk        ${formatBytes(event.freeByteLength)} free`)
    }
  }
})

export const repoVerify = command({
  usage: 'repo verify',
  summary: 'Check every block against its CID',
  details: 'Reads and hashes every block. Damaged blocks are listed; adding the same content again repairs them.',
  flags: {},

  async run (context) {
    using line = context.progress('Verifying')
    let damagedCount = 0
    for await (const answer of context.daemon.call('repo-verify', {}, context)) {
      if (answer.type !== 'event') continue
      const { event } = answer
      if ('progress' in event) {
        line.update(event.progress)
      } else if ('damaged' in event) {
        line.aside(() => { context.print(context.isJson ? JSON.stringify(event) : `damaged ${event.damaged.cid}: ${event.damaged.reason}`) })
      } else {
        damagedCount = event.verified.damagedCount
        context.print(context.isJson ? JSON.stringify(event) : `Verified ${event.verified.blockCount} blocks, ${damagedCount} damaged`)
      }
    }
    if (damagedCount > 0) throw new HoldfastError('CORRUPT', `${damagedCount} blocks are damaged. Adding the same content again repairs them`)
  }
})
