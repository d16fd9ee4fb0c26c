import type { PinEvent } from '@holdfast/api/client'
import { HoldfastError } from '@holdfast/core/errors'
import { command, type CommandContext } from '../command.ts'
import { formatTable, printable } from '../terminal/format.ts'

const KIND = { recursive: { type: 'boolean', short: 'r', help: 'The whole DAG; --no-recursive is the one block [default: true]' } } as const

export const pinAdd = command({
  usage: 'pin add CID[/PATH]… [--name NAME] [--no-recursive]',
  summary: 'Keep a DAG',
  details: 'Walks the whole DAG and checks every block before the pin is written.',
  flags: {
    ...KIND,
    name: { type: 'string', short: 'n', value: 'NAME', help: 'Name of the pin' }
  },

  async run (context, args, { recursive, name }) {
    using line = context.progress('Pinning')
    for (const path of requireCids(args)) {
      for await (const answer of context.daemon.call('pin-add', { path, kind: recursive === false ? 'direct' : 'recursive', name }, context)) {
        if (answer.type !== 'event') continue
        const { event } = answer
        if ('progress' in event) line.update(event.progress)
        else line.aside(() => { context.print(context.isJson ? JSON.stringify(event.pin) : `pinned ${event.pin.cid} ${event.pin.kind}`) })
      }
    }
  }
})

export const pinRm = command({
  usage: 'pin rm CID[/PATH]… [--name NAME] [--recursive|--no-recursive]',
  summary: 'Keep a DAG no longer',
  details: 'Removes every pin of the CID, or those that the flags describe. The blocks go with the next gc.',
  flags: {
    recursive: { type: 'boolean', short: 'r', help: 'Only recursive pins; --no-recursive: only direct ones' },
    name: { type: 'string', short: 'n', value: 'NAME', help: 'Only pins of this name' }
  },

  async run (context, args, { recursive, name }) {
    const kind = recursive === undefined ? undefined : recursive ? 'recursive' as const : 'direct' as const
    for (const path of requireCids(args)) {
      for await (const answer of context.daemon.call('pin-rm', { path, kind, name }, context)) {
        if (answer.type === 'event') context.print(context.isJson ? JSON.stringify(answer.event.pin) : `unpinned ${answer.event.pin.cid} ${answer.event.pin.kind}`)
      }
    }
  }
})

const KINDS = ['recursive', 'direct', 'indirect', 'all'] as const

export const pinLs = command({
  usage: 'pin ls [CID[/PATH]] [--type recursive|direct|indirect|all] [--name NAME]',
  summary: 'List what is kept',
  details: 'Indirect pins, the blocks below recursive ones, are listed only when they are asked for: it takes a walk over all of them.',
  flags: {
    type: { type: 'string', short: 't', value: 'KIND', help: 'Only pins of this kind' },
    name: { type: 'string', short: 'n', value: 'NAME', help: 'Only pins of this name' },
    quiet: { type: 'boolean', short: 'q', help: 'Print CIDs only' }
  },

  async run (context, args, { type, name, quiet }) {
    const kind = KINDS.find((candidate) => candidate === (type ?? 'all'))
    if (kind === undefined) throw new HoldfastError('INVALID', `Pins are ${KINDS.join(', ')}, not ${JSON.stringify(type)}`)
    for await (const answer of context.daemon.call('pin-ls', { path: args[0], kind, name }, context)) {
      if (answer.type === 'event') context.print(format(answer.event, quiet === true, context))
    }
  }
})

function format (pin: PinEvent, isQuiet: boolean, { isJson }: CommandContext): string {
  if (isJson) return JSON.stringify(pin)
  if (isQuiet) return pin.cid
  const detail = pin.root === undefined ? pin.name ?? '' : `below ${pin.root}`
  return formatTable([[pin.cid, pin.kind, printable(detail)]]).join('').trimEnd()
}

function requireCids (args: readonly string[]): readonly string[] {
  if (args.length === 0) throw new HoldfastError('INVALID', 'No CID given')
  return args
}
