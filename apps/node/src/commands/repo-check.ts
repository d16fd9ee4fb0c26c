import type { ScrubStatus } from '@holdfast/api/client'
import { HoldfastError } from '@holdfast/core/errors'
import { command } from '../command.ts'
import { parseBytes } from '../parse-bytes.ts'
import { formatBytes } from '../terminal/format.ts'

export const repoVerify = command({
  usage: 'repo verify [--sample 1/N]',
  summary: 'Check every block against its CID',
  details: 'Reads and hashes every block, and compares the index of the packs with the packs. Damaged blocks are quarantined and listed:\nto fetch them again there is repo repair --from-peers; adding the same content again repairs them too.',
  flags: {
    sample: { type: 'string', value: '1/N', help: 'Hash one block in N; the index is compared all the same [default: 1/1]' }
  },

  async run (context, _args, flags) {
    using line = context.progress('Verifying')
    let damagedCount = 0
    for await (const answer of context.daemon.call('repo-verify', { sample: sampleOf(flags.sample) }, context)) {
      if (answer.type !== 'event') continue
      const { event } = answer
      if ('progress' in event) {
        line.update(event.progress)
      } else if ('damaged' in event) {
        line.aside(() => { context.print(context.isJson ? JSON.stringify(event) : `damaged ${event.damaged.cid}: ${event.damaged.reason}`) })
      } else {
        const { blockCount } = event.verified
        damagedCount = event.verified.damagedCount
        context.print(context.isJson ? JSON.stringify(event) : `Verified ${blockCount} blocks, ${damagedCount} damaged${indexNote(event.verified)}`)
      }
    }
    if (damagedCount > 0) throw new HoldfastError('CORRUPT', `${damagedCount} blocks are damaged. To fetch them again: holdfast repo repair --from-peers. Adding the same content again repairs them too`)
  }
})

export const repoRepair = command({
  usage: 'repo repair --from-peers [--known]',
  summary: 'Fetch damaged blocks again',
  details: 'Checks every block and fetches those that are damaged from peers. Nothing is removed before its replacement is stored.',
  flags: {
    'from-peers': { type: 'boolean', help: 'Fetch the blocks from whoever has them on the network' },
    known: { type: 'boolean', help: 'Fetch only what is quarantined already, without a check before' }
  },

  async run (context, _args, flags) {
    if (flags['from-peers'] !== true) throw new HoldfastError('INVALID', 'Say where replacements come from: holdfast repo repair --from-peers. To bring them yourself, add or import the content again')
    using line = context.progress('Repairing')
    let lostCount = 0
    for await (const answer of context.daemon.call('repo-repair', { known: flags.known }, context)) {
      if (answer.type !== 'event') continue
      const { event } = answer
      if ('progress' in event) {
        line.update(event.progress)
      } else if ('damaged' in event) {
        const { cid, isRepaired, why = '' } = event.damaged
        line.aside(() => { context.print(context.isJson ? JSON.stringify(event) : isRepaired ? `repaired ${cid}` : `damaged ${cid}: ${why}`) })
      } else {
        const { damagedCount, repairedCount } = event.repaired
        lostCount = damagedCount - repairedCount
        context.print(context.isJson ? JSON.stringify(event) : `Repaired ${repairedCount} of ${damagedCount} damaged blocks${indexNote(event.repaired)}`)
      }
    }
    if (lostCount > 0) throw new HoldfastError('CORRUPT', `${lostCount} blocks are still damaged: nobody who was asked gave them`)
  }
})

export const repoScrub = command({
  usage: 'repo scrub [start|pause|status] [--rate BYTES]',
  summary: 'Check every block in the background, slowly',
  details: 'A round that is interrupted, also by a restart, goes on where it was. What is damaged is quarantined and shown by repo stat.',
  flags: {
    rate: { type: 'string', value: 'BYTES', help: 'Bytes read a second at most, for example 20MB [default: as before; at first 8MiB]' }
  },

  async run (context, [action = 'status', ...rest], { rate }) {
    if (!isAction(action) || rest.length > 0) throw new HoldfastError('INVALID', 'Give one of start, pause and status')
    const bytesPerSecond = rate === undefined ? undefined : parseBytes(rate)
    if (rate !== undefined && (bytesPerSecond === undefined || bytesPerSecond === 0 || action !== 'start')) throw new HoldfastError('INVALID', '--rate takes bytes a second, such as 20MB, and goes with start')
    for await (const answer of context.daemon.call('repo-scrub', { action, bytesPerSecond }, context)) {
      if (answer.type === 'event') context.print(context.isJson ? JSON.stringify(answer.event.scrub) : statusText(answer.event.scrub))
    }
  }
})

function isAction (text: string): text is 'start' | 'pause' | 'status' {
  return text === 'start' || text === 'pause' || text === 'status'
}

function statusText ({ state, bytesPerSecond, byteLength, totalByteLength, damagedCount, finishedMs }: ScrubStatus): string {
  const last = finishedMs === undefined ? 'no round has ended yet' : `the last round ended ${new Date(finishedMs).toISOString()}`
  const found = damagedCount === 0 ? 'nothing damaged' : `${damagedCount} blocks damaged`
  if (state === 'idle') return `Scrub is not running; ${last}${finishedMs === undefined ? '' : `, ${found}`}`
  return `Scrub is ${state}: ${formatBytes(byteLength)} of ${formatBytes(totalByteLength)}, ${found}, at most ${formatBytes(bytesPerSecond)}/s; ${last}`
}

function sampleOf (text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  const sample = Number(/^1\/(\d{1,9})$/.exec(text)?.[1] ?? 0)
  if (sample === 0) throw new HoldfastError('INVALID', `${JSON.stringify(text)} is no sample: give 1/N, such as 1/100`)
  return sample
}

function indexNote ({ indexRepairCount, isIndexBroken }: { readonly indexRepairCount: number, readonly isIndexBroken: boolean }): string {
  return isIndexBroken ? `; ${indexRepairCount} entries of the index were wrong. It is made anew at the next start: restart the node` : ''
}
