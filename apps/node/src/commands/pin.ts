import type { PinEvent, PinStatusEvent } from '@holdfast/api/client'
import { HoldfastError } from '@holdfast/core/errors'
import { duration } from '../arguments.ts'
import { command, type CommandContext, storedJson } from '../command.ts'
import { formatTable, printable } from '../terminal/format.ts'
import { CLUSTER_FLAGS, clusterArgs, WAIT_FLAGS, waitArgs, waitForPins } from './pin-options.ts'
import { statusCells, StatusView } from './status-view.ts'

const KIND = { recursive: { type: 'boolean', short: 'r', help: 'The whole DAG; --no-recursive is the one block [default: true]' } } as const

export const pinAdd = command({
  usage: 'pin add CID[/PATH]… [--copies N|all] [--name NAME] [--no-recursive] [--wait]',
  summary: 'Keep a DAG, here or with copies on other members',
  details: 'Walks the whole DAG and checks every block before the pin is written. With --copies the members of the cluster keep N copies, of which this node\'s is one;\na node that is in no cluster makes one, which others can join later.',
  flags: {
    ...KIND,
    name: { type: 'string', short: 'n', value: 'NAME', help: 'Name of the pin' },
    ...CLUSTER_FLAGS,
    local: { type: 'boolean', help: 'With --copies: fetch and keep it here first; --no-local leaves all of that to the members [default: true]' },
    ...WAIT_FLAGS
  },

  async run (context, args, { recursive, name, local, ...flags }) {
    const wanted = clusterArgs(flags)
    const wait = waitArgs(flags)
    if (wanted.copies === undefined && (wait !== undefined || local === false)) throw new HoldfastError('INVALID', `${wait === undefined ? '--no-local' : '--wait'} is for copies in the cluster: say how many by --copies N`)
    const ids: string[] = []
    for (const path of requireCids(args)) {
      using line = context.progress('Pinning')
      for await (const answer of context.daemon.call('pin-add', { path, kind: recursive === false ? 'direct' : 'recursive', name, local, ...wanted }, context)) {
        if (answer.type !== 'event') continue
        const { event } = answer
        if ('progress' in event) line.update(event.progress)
        else {
          line.aside(() => { context.print(context.isJson ? storedJson(event.pin, context) : `pinned ${event.pin.cid} ${kindWords(event.pin)}`) })
          if (event.pin.cluster !== undefined) ids.push(event.pin.cluster.id)
        }
      }
    }
    if (wait !== undefined) await waitForPins(context, ids, wait)
  }
})

export const pinRm = command({
  usage: 'pin rm CID[/PATH]|ID… [--name NAME] [--recursive|--no-recursive] [--local]',
  summary: 'Keep a DAG no longer',
  details: 'Removes every pin of the CID, or those that the flags describe: this node\'s, and the cluster\'s with their copies. ID is one pin of the cluster.\nThe blocks go with the next gc.',
  flags: {
    recursive: { type: 'boolean', short: 'r', help: 'Only recursive pins; --no-recursive: only direct ones' },
    name: { type: 'string', short: 'n', value: 'NAME', help: 'Only pins of this name' },
    local: { type: 'boolean', help: 'Only this node\'s own pins; the cluster goes on' }
  },

  async run (context, args, { recursive, name, local }) {
    const kind = recursive === undefined ? undefined : recursive ? 'recursive' as const : 'direct' as const
    for (const text of requireCids(args)) {
      for await (const answer of context.daemon.call('pin-rm', { ...pathOrId(text), kind, name, local }, context)) {
        if (answer.type === 'event') context.print(context.isJson ? JSON.stringify(answer.event.pin) : `unpinned ${answer.event.pin.cid} ${kindWords(answer.event.pin)}`)
      }
    }
  }
})

const KINDS = ['recursive', 'direct', 'indirect', 'all'] as const

export const pinLs = command({
  usage: 'pin ls [CID[/PATH]] [--type recursive|direct|indirect|all] [--name NAME] [--status]',
  summary: 'List what is kept',
  details: 'Lists what this node keeps, for its user and for the cluster; with --status what the cluster keeps, and how the copies are.\nIndirect pins, the blocks below recursive ones, are listed only when they are asked for: they are many.',
  flags: {
    type: { type: 'string', short: 't', value: 'KIND', help: 'Only pins of this kind' },
    name: { type: 'string', short: 'n', value: 'NAME', help: 'Only pins of this name' },
    status: { type: 'boolean', help: 'The pins of the cluster with the state of their copies' },
    quiet: { type: 'boolean', short: 'q', help: 'Print CIDs only' }
  },

  async run (context, args, { type, name, quiet, status }) {
    const kind = KINDS.find((candidate) => candidate === (type ?? 'all'))
    if (kind === undefined) throw new HoldfastError('INVALID', `Pins are ${KINDS.join(', ')}, not ${JSON.stringify(type)}`)
    if (status === true) {
      if (kind === 'indirect') throw new HoldfastError('INVALID', 'Indirect pins have no copies of their own')
      return await listStatuses(context, { path: args[0], kind: kind === 'all' ? undefined : kind, name }, quiet === true)
    }
    for await (const answer of context.daemon.call('pin-ls', { path: args[0], kind, name }, context)) {
      if (answer.type === 'event') context.print(format(answer.event, quiet === true, context))
    }
  }
})

async function listStatuses (context: CommandContext, match: { readonly path: string | undefined, readonly kind: 'recursive' | 'direct' | undefined, readonly name: string | undefined }, isQuiet: boolean): Promise<void> {
  for await (const answer of context.daemon.call('pin-status', match, context)) {
    if (answer.type === 'event') context.print(formatStatus(answer.event.status, isQuiet, context))
  }
}

function formatStatus (status: PinStatusEvent, isQuiet: boolean, { isJson }: CommandContext): string {
  if (isJson) return JSON.stringify(status)
  return isQuiet ? status.cid : formatTable([statusCells(status)]).join('').trimEnd()
}

export const pinStatus = command({
  usage: 'pin status CID[/PATH]|ID… [--wait]',
  summary: 'Tell how the copies of a pin are',
  details: 'Answered at once by what this node knows: copies that count of those wanted, the zones they are in, and a line for each member that has to do\nwith it. A copy counts when its holder verified it, was heard of lately, and nobody found it missing.',
  flags: WAIT_FLAGS,

  async run (context, args, flags) {
    const wait = waitArgs(flags)
    const view = new StatusView(context)
    for (const text of requireCids(args)) {
      const answers = context.daemon.call('pin-status', { ...pathOrId(text), ...wait }, context)
      if (wait !== undefined) await view.follow(answers, wait)
      else for await (const answer of answers) if (answer.type === 'event') view.print(answer.event.status)
    }
  }
})

export const pinUpdate = command({
  usage: 'pin update OLD NEW [--no-unpin] [--timeout DURATION]',
  summary: 'Keep another DAG instead of one that is kept',
  details: 'The new pin gets the name, the copies and the notes of the old one, which goes when the new one has its least copies. Until then both are kept.',
  flags: {
    unpin: { type: 'boolean', help: 'Remove the old pin; --no-unpin keeps both [default: true]' },
    timeout: { type: 'string', value: 'DURATION', help: 'How long to wait for copies of the new one [default: 10min]' }
  },

  async run (context, args, { unpin, timeout }) {
    const [from, to, surplus] = args
    if (from === undefined || to === undefined || surplus !== undefined) throw new HoldfastError('INVALID', 'Two CIDs are needed: what is kept, and what to keep instead')
    using line = context.progress('Pinning')
    for await (const answer of context.daemon.call('pin-update', { from, to, unpin, timeoutMs: duration('timeout', timeout) }, context)) {
      if (answer.type !== 'event') continue
      const { event } = answer
      if ('progress' in event) line.update(event.progress)
      else if ('status' in event) line.update({ phase: `copies ${event.status.countedCount}/${event.status.copies.max}` })
      else line.aside(() => { context.print(context.isJson ? storedJson(event.updated, context) : `updated ${event.updated.from} to ${event.updated.to}`) })
    }
  }
})

/** A pin of the cluster is named by 32 hexadecimal digits, which no CID is. */
function pathOrId (text: string): { path: string } | { id: string } {
  return /^[0-9a-f]{32}$/.test(text) ? { id: text } : { path: text }
}

function kindWords ({ kind, cluster }: PinEvent): string {
  if (cluster === undefined) return kind
  const { copies: { max }, id } = cluster
  return `${kind}, ${max === 1 ? '1 copy' : `${max} copies`} in the cluster, id ${id}`
}

function format (pin: PinEvent, isQuiet: boolean, { isJson }: CommandContext): string {
  if (isJson) return JSON.stringify(pin)
  if (isQuiet) return pin.cid
  const detail = pin.owner === 'cluster' ? ['for the cluster', ...pin.name === undefined ? [] : [pin.name]].join(', ') : pin.root === undefined ? pin.name ?? '' : `below ${pin.root}`
  return formatTable([[pin.cid, pin.kind, printable(detail)]]).join('').trimEnd()
}

function requireCids (args: readonly string[]): readonly string[] {
  if (args.length === 0) throw new HoldfastError('INVALID', 'No CID given')
  return args
}
