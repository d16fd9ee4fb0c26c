import type { ClusterEvent, MemberEvent } from '@holdfast/api/client'
import { HoldfastError } from '@holdfast/core/errors'
import { duration, onlyArgument } from '../arguments.ts'
import { command, type CommandContext } from '../command.ts'
import { formatBytes, formatSeconds, formatTable, printable } from '../terminal/format.ts'

const ROLES = ['admin', 'member', 'reader'] as const

/** A clock that is wrong by so much is told, in ms: a heartbeat is never on its way for so long. */
const TOLD_CLOCK_MS = 60_000

/** Bytes of standard input that are read for an invite: far more than one has. */
const MAX_INVITE_BYTES = 64 * 1024

export const memberInvite = command({
  usage: 'member invite [--role ROLE] [--zone ZONE] [--expires-in DURATION]',
  summary: 'Print a line that lets one node into the cluster',
  details: 'Pass the line to the other machine over a channel that you trust: whoever has it first is in. It works once.\nA node that is in no cluster makes one, and is its first admin.',
  flags: {
    role: { type: 'string', value: 'ROLE', help: 'What the node may do: admin, member or reader [default: member]' },
    zone: { type: 'string', value: 'ZONE', help: 'Where the node stands, whatever it says itself' },
    'expires-in': { type: 'string', value: 'DURATION', help: 'How long the invite is good, at most 24h [default: 24h]' }
  },

  async run (context, args, { role: roleText, zone, 'expires-in': expiresIn }) {
    if (args.length > 0) throw new HoldfastError('INVALID', `An invite is for nobody in particular: ${JSON.stringify(args[0])} is too many`)
    const role = roleText === undefined ? undefined : roleIn(roleText)
    for await (const answer of context.daemon.call('member-invite', { role, zone, lifetimeMs: duration('expires-in', expiresIn) }, context)) {
      if (answer.type !== 'event') continue
      context.print(context.isJson ? JSON.stringify(answer.event) : answer.event.invite)
      if (!context.isJson) context.note(`On the other machine: holdfast member join INVITE. It works once, for ${formatSeconds((answer.event.expiresMs - Date.now()) / 1000)}`)
    }
  }
})

function roleIn (text: string): typeof ROLES[number] {
  const role = ROLES.find((known) => known === text)
  if (role === undefined) throw new HoldfastError('INVALID', `Roles are ${ROLES.join(', ')}, not ${JSON.stringify(text)}`)
  return role
}

export const memberJoin = command({
  usage: 'member join INVITE|-',
  summary: 'Join the cluster of an invite',
  details: 'The admin that issued it must be running. `-` reads the invite from standard input, where no other user of this machine sees it.',
  flags: {},

  async run (context, args) {
    const given = onlyArgument(args, 'INVITE')
    const invite = given === '-' ? await readInvite(context.stdin) : given
    for await (const answer of context.daemon.call('member-join', { invite }, context)) {
      if (answer.type !== 'event') continue
      const { cluster } = answer.event
      context.print(context.isJson ? JSON.stringify(cluster) : `joined ${clusterWords(cluster)}`)
    }
  }
})

async function readInvite (stdin: AsyncIterable<Uint8Array>): Promise<string> {
  const pieces: Uint8Array[] = []
  let byteLength = 0
  for await (const piece of stdin) {
    byteLength += piece.byteLength
    if (byteLength > MAX_INVITE_BYTES) throw new HoldfastError('INVALID', 'Standard input is too long for an invite')
    pieces.push(piece)
  }
  const text = Buffer.concat(pieces).toString().trim()
  if (text === '') throw new HoldfastError('INVALID', 'Standard input is empty: no invite')
  return text
}

export const memberLs = command({
  usage: 'member ls',
  summary: 'List the members of the cluster',
  details: 'Prints peer, name, role, zone, what it uses of what it offers, copies, when it was heard last and its version.',
  flags: {},

  async run (context) {
    let cluster: ClusterEvent | undefined
    const rows: string[][] = []
    for await (const answer of context.daemon.call('member-ls', {}, context)) {
      if (answer.type !== 'event') continue
      const { event } = answer
      if ('cluster' in event) cluster = event.cluster
      else if (context.isJson) context.print(JSON.stringify(event.member))
      else rows.push(memberRow(event.member))
    }
    explain(context, cluster)
    for (const line of formatTable(rows)) context.print(line)
  }
})

function explain ({ note, isJson }: CommandContext, cluster: ClusterEvent | undefined): void {
  if (cluster === undefined) note('This node is in no cluster. Make one with: holdfast member invite')
  else if (cluster.role === 'removed') note(`This node was removed from ${clusterWords(cluster)}. It may join again with a new invite`)
  else if (!isJson) note(`Cluster ${clusterWords(cluster)}`)
}

function clusterWords ({ name, id, role }: ClusterEvent): string {
  return `${printable(name)} (${id.slice(0, 12)}…)${role === 'removed' ? '' : ` as ${role}`}`
}

function memberRow ({ peer, name, role, isSelf, zone, capacityBytes, usedBytes, isFull, version, isAlive, lastSeenAgoMs, copyCount, clockAheadMs = 0 }: MemberEvent): string[] {
  return [
    peer,
    printable(name ?? '-'),
    role,
    `zone ${printable(zone ?? '-')}`,
    `${usedBytes === undefined ? '?' : formatBytes(usedBytes)} of ${capacityBytes === undefined ? '?' : formatBytes(capacityBytes)}${isFull === true ? ' (full)' : ''}`,
    `${copyCount} ${copyCount === 1 ? 'copy' : 'copies'}`,
    seenWords(isSelf, isAlive, lastSeenAgoMs),
    `${printable(version ?? '-')}${clockWords(clockAheadMs)}`
  ]
}

function clockWords (aheadMs: number): string {
  if (Math.abs(aheadMs) < TOLD_CLOCK_MS) return ''
  return `  clock ${formatSeconds(Math.abs(aheadMs) / 1000)} ${aheadMs > 0 ? 'ahead' : 'behind'}`
}

function seenWords (isSelf: boolean, isAlive: boolean, lastSeenAgoMs: number | undefined): string {
  if (isSelf) return 'this node'
  if (lastSeenAgoMs === undefined) return 'not seen yet'
  return isAlive ? 'alive' : `gone for ${formatSeconds(lastSeenAgoMs / 1000)}`
}

export const memberRm = command({
  usage: 'member rm PEER',
  summary: 'Remove a member from the cluster',
  details: 'Takes effect on every member without a restart: what the peer writes from now on does not count, nor do its copies. What it had pinned stays.',
  flags: {},

  async run (context, args) {
    const peer = onlyArgument(args, 'PEER')
    for await (const answer of context.daemon.call('member-rm', { peer }, context)) {
      if (answer.type === 'event') context.print(context.isJson ? JSON.stringify(answer.event) : `removed ${answer.event.removed}`)
    }
  }
})
