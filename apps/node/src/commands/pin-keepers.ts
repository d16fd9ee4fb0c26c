import type { PinEvent } from '@holdfast/api/client'
import { HoldfastError } from '@holdfast/core/errors'
import { command } from '../command.ts'
import { formatBytes, formatTable, printable } from '../terminal/format.ts'

/** Why a block is here that no pin keeps. */
const OTHER = {
  'in use': 'no pin keeps it; work that is not finished does',
  cached: 'no pin keeps it; it was only fetched, and goes when the cache is full or with the next gc',
  garbage: 'nothing keeps it; it goes with the next gc',
  absent: 'it is not here, and no pin needs it'
} as const

export const pinWhy = command({
  usage: 'pin why CID[/PATH]',
  summary: 'Tell which pins keep a block, and by which links',
  details: 'Prints each pin that the block lies below, or that is of it, with a shortest path of links from its root to the block.\nThe name of a pin comes last. Answered from the index, without reading blocks.',
  flags: {},

  async run (context, args) {
    for await (const answer of context.daemon.call('pin-why', { path: onlyCid(args) }, context)) {
      if (answer.type !== 'event') continue
      const { event } = answer
      if (context.isJson) context.print(JSON.stringify(event))
      else if ('keeper' in event) context.print(`${event.keeper.path.join(' -> ')}  ${pinWords(event.keeper.pin)}`)
      else context.print('other' in event ? OTHER[event.other] : 'There are more links above it than are followed: not all pins are told')
    }
  }
})

export const pinStat = command({
  usage: 'pin stat CID[/PATH]',
  summary: 'Tell how much a pin takes, and how much of it nothing else keeps',
  details: 'Counts the blocks of a DAG that is kept. "own" is what would go with it; "shared" is what other pins, or DAGs around it, keep as well.',
  flags: {},

  async run (context, args) {
    for await (const answer of context.daemon.call('pin-stat', { path: onlyCid(args) }, context)) {
      if (answer.type !== 'event') continue
      const { cid, ...sums } = answer.event.size
      if (context.isJson) context.print(JSON.stringify(answer.event.size))
      else {
        for (const line of formatTable([[cid, 'blocks', 'bytes'], ...(['total', 'shared', 'own'] as const).map((what) => [what, String(sums[what].blockCount), formatBytes(sums[what].byteLength)])])) context.print(line)
      }
    }
  }
})

function pinWords ({ kind, name, owner }: PinEvent): string {
  return [kind, owner === 'cluster' ? 'for the cluster' : name === undefined ? '' : printable(name)].filter((word) => word !== '').join(' ')
}

function onlyCid ([cid, ...surplus]: readonly string[]): string {
  if (cid === undefined || surplus.length > 0) throw new HoldfastError('INVALID', cid === undefined ? 'No CID given' : 'One CID at a time')
  return cid
}
