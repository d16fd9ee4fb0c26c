import type { ClusterView } from '@holdfast/replication'
import type { ApiNode } from '../api-node.ts'
import type { Exchange } from '../exchange.ts'
import type { ArgsOf, ClusterEvent, EventOf } from '../operations.ts'

export async function memberInvite (node: ApiNode, args: ArgsOf<'member-invite'>, exchange: Exchange<EventOf<'member-invite'>>): Promise<void> {
  await exchange.emit(await node.replication.invite(args))
}

export async function memberJoin (node: ApiNode, { invite }: ArgsOf<'member-join'>, exchange: Exchange<EventOf<'member-join'>>): Promise<void> {
  await exchange.emit({ cluster: clusterEvent(await node.replication.join(invite, exchange)) })
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

export async function memberRm (node: ApiNode, { peer }: ArgsOf<'member-rm'>, exchange: Exchange<EventOf<'member-rm'>>): Promise<void> {
  await node.replication.remove(peer)
  await exchange.emit({ removed: peer })
}

function clusterEvent ({ id, name, role }: ClusterView): ClusterEvent {
  return { id, name, role }
}
