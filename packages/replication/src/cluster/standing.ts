import { HoldfastError } from '@holdfast/core'
import type { PeerId } from '@holdfast/network'
import type { Role } from '../record/record.ts'
import type { ClusterState } from '../store/cluster-memory.ts'
import type { RecordStore } from '../store/record-store.ts'

/** What this node may do in its cluster. */
export class Standing {
  readonly #self: PeerId
  readonly #store: RecordStore

  constructor (self: PeerId, store: RecordStore) {
    this.#self = self
    this.#store = store
  }

  /** Its role; `removed` when an admin took it out; `undefined` when it is in no cluster. */
  get role (): Role | 'removed' | undefined {
    const members = this.#store.cluster?.map.members
    if (members === undefined) return undefined
    const own = members.byPeer.get(this.#self)
    return own?.isActive === true ? own.role : 'removed'
  }

  get isMember (): boolean {
    const { role } = this
    return role !== undefined && role !== 'removed'
  }

  /** @throws `INVALID` when this node is in no cluster, or was removed from it. */
  requireMember (): ClusterState {
    const cluster = this.#store.cluster
    if (cluster === undefined) throw new HoldfastError('INVALID', 'This node is in no cluster. Invite a member, or join with an invite', { reason: 'no-cluster' })
    if (!this.isMember) throw new HoldfastError('INVALID', 'This node was removed from its cluster. Join with a new invite', { reason: 'removed' })
    return cluster
  }

  /** @throws as `requireMember`, and for a reader. */
  requireWriter (): ClusterState {
    const cluster = this.requireMember()
    if (this.role === 'reader') throw new HoldfastError('INVALID', 'This node is a reader: it may not change pins. Ask an admin for another role', { reason: 'reader' })
    return cluster
  }
}
