import type { ClusterEvent, MemberEvent, ReleasedEvent } from '@holdfast/api/client'
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
  usage: 'member join INVITE|- [--leave]',
  summary: 'Join the cluster of an invite',
  details: 'The admin that issued it must be running. `-` reads the invite from standard input, where no other user of this machine sees it.\nA node that is alone in a cluster of its own leaves that with --leave; what it keeps stays, as pins of this node alone.',
  flags: { leave: { type: 'boolean', help: 'Leave the cluster in which this node is alone' } },

  async run (context, args, { leave }) {
    const given = onlyArgument(args, 'INVITE')
    const invite = given === '-' ? await readInvite(context.stdin) : given
    for await (const answer of context.daemon.call('member-join', { invite, leave }, context)) {
      if (answer.type !== 'event') continue
      const { cluster, released } = answer.event
      context.print(context.isJson ? JSON.stringify({ ...cluster, released }) : `joined ${clusterWords(cluster)}`)
      if (released !== undefined) explainReleased(context, released)
    }
  }
})

export const memberLeave = command({
  usage: 'member leave [--force]',
  summary: 'Leave the cluster',
  details: 'An admin that can be reached tells the others, who make the copies of this node elsewhere. What this node keeps stays, as pins of this node alone.',
  flags: { force: { type: 'boolean', help: 'Leave also when no admin can be told, or this node is the last one' } },

  async run (context, args, { force }) {
    if (args.length > 0) throw new HoldfastError('INVALID', `A node leaves by itself: ${JSON.stringify(args[0])} is too many. See member rm for others`)
    for await (const answer of context.daemon.call('member-leave', { force }, context)) {
      if (answer.type !== 'event') continue
      const { left, released } = answer.event
      context.print(context.isJson ? JSON.stringify({ ...left, released }) : `left ${clusterWords(left)}`)
      explainReleased(context, released)
    }
  }
})

/** Says what became of what was kept for a cluster. */
function explainReleased ({ note, isJson }: CommandContext, { keptCount, absentCount }: ReleasedEvent): void {
  if (isJson) return
  if (keptCount > 0) note(`${keptCount} ${keptCount === 1 ? 'copy is a pin' : 'copies are pins'} of this node alone now: see holdfast pin ls`)
  if (absentCount > 0) note(`${absentCount} ${absentCount === 1 ? 'pin' : 'pins'} of the cluster had no copy here`)
}

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
  usage: 'member rm NAME|PEER',
  summary: 'Remove a member from the cluster',
  details: 'Takes effect on every member without a restart: what the peer writes from now on does not count, nor do its copies. What it had pinned stays.',
  flags: {},

  async run (context, args) {
    const peer = onlyArgument(args, 'NAME or PEER')
    for await (const answer of context.daemon.call('member-rm', { peer }, context)) {
      if (answer.type === 'event') context.print(context.isJson ? JSON.stringify(answer.event) : `removed ${answer.event.removed}`)
    }
  }
})

export const memberRole = command({
  usage: 'member role NAME|PEER admin|member|reader',
  summary: 'Give a member another role',
  details: 'For admins. Takes effect on every member without a restart. What a new reader had pinned stays. The last admin stays one.',
  flags: {},

  async run (context, args) {
    const [member, roleText, surplus] = args
    if (member === undefined || roleText === undefined || surplus !== undefined) throw new HoldfastError('INVALID', `Say which member, and its role: ${ROLES.join(', ')}`)
    for await (const answer of context.daemon.call('member-role', { member, role: roleIn(roleText) }, context)) {
      if (answer.type !== 'event') continue
      const { changed } = answer.event
      context.print(context.isJson ? JSON.stringify(changed) : `${changed.peer} is ${changed.role === 'admin' ? 'an' : 'a'} ${changed.role}`)
    }
  }
})
