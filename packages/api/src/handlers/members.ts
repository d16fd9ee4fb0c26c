import { HoldfastError } from '@holdfast/core'
import type { ClusterView, MemberView, ReleasedCopies } from '@holdfast/replication'
import type { ApiNode } from '../api-node.ts'
import type { Exchange } from '../exchange.ts'
import type { ArgsOf, ClusterEvent, EventOf } from '../operations.ts'

export async function memberInvite (node: ApiNode, args: ArgsOf<'member-invite'>, exchange: Exchange<EventOf<'member-invite'>>): Promise<void> {
  await exchange.emit(await node.replication.invite(args))
}

/** Joins; what was kept for a cluster that the node left by that is its own from then on. */
export async function memberJoin (node: ApiNode, { invite, leave }: ArgsOf<'member-join'>, exchange: Exchange<EventOf<'member-join'>>): Promise<void> {
  let released: ReleasedCopies | undefined
  const cluster = await node.replication.join(invite, { signal: exchange.signal, leave, forgetting: async (forget) => { released = await node.keeper.release(forget) } })
  await exchange.emit({ cluster: clusterEvent(cluster), released })
}

export async function memberLeave (node: ApiNode, { force }: ArgsOf<'member-leave'>, exchange: Exchange<EventOf<'member-leave'>>): Promise<void> {
  const { cluster } = node.replication
  let released: ReleasedCopies | undefined
  await node.replication.leave({ signal: exchange.signal, force, forgetting: async (forget) => { released = await node.keeper.release(forget) } })
  if (cluster !== undefined && released !== undefined) await exchange.emit({ left: clusterEvent(cluster), released })
}

export async function memberRole (node: ApiNode, { member, role }: ArgsOf<'member-role'>, exchange: Exchange<EventOf<'member-role'>>): Promise<void> {
  const { peer } = findMember(node, member)
  await node.replication.setRole(peer, role)
  await exchange.emit({ changed: { peer, role } })
}

/** A member by its peer id, or by its name when only one has it. */
function findMember ({ replication }: ApiNode, text: string): MemberView {
  const found = replication.members().filter(({ peer, name }) => peer === text || name === text)
  const [member] = found.filter(({ peer }) => peer === text).concat(found)
  if (member === undefined) throw new HoldfastError('NOT_FOUND', `No member has the name or peer id ${JSON.stringify(text.slice(0, 80))}. See holdfast member ls`)
  if (member.peer !== text && found.length > 1) throw new HoldfastError('INVALID', `${found.length} members call themselves ${JSON.stringify(text.slice(0, 80))}: say which by its peer id, ${found.map(({ peer }) => peer).join(' or ')}`)
  return member
}

export async function memberLs (node: ApiNode, _args: object, exchange: Exchange<EventOf<'member-ls'>>): Promise<void> {
  const { cluster } = node.replication
  if (cluster === undefined) return
  await exchange.emit({ cluster: clusterEvent(cluster) })
  for (const { heartbeat, lastSeenAgoMs, clockAheadMs, ...member } of node.replication.members()) {
    await exchange.emit({
      member: {
        ...member,
        ...heartbeat !== undefined && { usedBytes: heartbeat.usedBytes, isFull: heartbeat.isFull },
        ...lastSeenAgoMs !== undefined && { lastSeenAgoMs: Math.round(lastSeenAgoMs) },
        ...clockAheadMs !== undefined && { clockAheadMs: Math.round(clockAheadMs) }
      }
    })
  }
}

export async function memberRm (node: ApiNode, { peer: member }: ArgsOf<'member-rm'>, exchange: Exchange<EventOf<'member-rm'>>): Promise<void> {
  const { peer } = findMember(node, member)
  await node.replication.remove(peer)
  await exchange.emit({ removed: peer })
}

function clusterEvent ({ id, name, role }: ClusterView): ClusterEvent {
  return { id, name, role }
}
