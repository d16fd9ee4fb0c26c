import type { Logger } from '@holdfast/core'
import type { Host, Identity, PeerId } from '@holdfast/network'
import type { Journal } from '@holdfast/pins'
import type { ClusterPin, PinFilter } from './cluster/cluster-pin.ts'
import type { HoldReport, HoldView } from './cluster/own-holds.ts'
import type { Profile } from './cluster/own-profile.ts'
import type { PinRequest } from './cluster/pin-request.ts'
import type { ClusterView, MemberView } from './cluster/roster.ts'
import type { RecordChange } from './map/record-map.ts'
import type { PinKey } from './map/stored-record.ts'
import type { LeaveOptions } from './members/departure.ts'
import type { InviteOptions, JoinOptions } from './members/membership.ts'
import type { Role } from './record/record.ts'
import type { Heartbeat } from './sync/messages.ts'
import type { SyncStats } from './sync/record-sync.ts'

/** How this node is, as its heartbeats tell. */
export type NodeLoad = Omit<Heartbeat, 'version' | 'clockMs'>

export interface ReplicationStats extends SyncStats {
  readonly recordCount: number
  /** Deleted ones included, until they are forgotten. */
  readonly pinCount: number
  readonly forgottenCount: number
  readonly holdCount: number
  readonly waitingCount: number
  readonly equivocationCount: number
  /** Hash of all records when it is read, in hex: the same on members that have the same. */
  readonly root: string
}

/** Members that trust each other and what they keep. */
export interface Replication extends AsyncDisposable {
  /** `undefined` until this node created or joined one. */
  readonly cluster: ClusterView | undefined

  /** What this node says of itself. */
  readonly profile: Profile

  /** The active members, this node among them. */
  members(): MemberView[]

  /** The time that most members agree on, in ms since 1970. */
  now(): number

  /** Creates a cluster with this node as its first admin. @throws `INVALID` when it is in one. */
  createCluster(options?: { readonly name?: string }): Promise<ClusterView>

  /** Issues an invite for one node; creates a cluster when there is none. @throws `INVALID` when this node is no admin. */
  invite(options?: InviteOptions): Promise<{ readonly invite: string, readonly expiresMs: number }>

  /**
   * Joins a cluster. A node that was removed from another one forgets that, and with `leave` also one in which it is alone.
   *
   * @throws `INVALID` with `details.reason` for an invite that cannot be used; `UNAVAILABLE` when the admin cannot be reached.
   */
  join(invite: string, options?: JoinOptions): Promise<ClusterView>

  /** Leaves the cluster and forgets it; an admin that can be reached tells the others. @throws `INVALID` when this node is in none, or is its last admin; `UNAVAILABLE` when no admin can be reached. */
  leave(options?: LeaveOptions): Promise<void>

  /** Removes a member. @throws `NOT_FOUND` when it is none; `INVALID` when this node is no admin, or the last. */
  remove(peer: PeerId): Promise<void>

  /** Gives a member another role. @throws as `remove`. */
  setRole(peer: PeerId, role: Role): Promise<void>

  /** Checks that such a pin could be put, before work is done for it. @throws `INVALID` as `putPin`. */
  requirePinnable(request: Omit<PinRequest, 'cid' | 'id'>): void

  /** Adds or changes a pin; durable here, and on its way to the others, when it resolves. @throws `INVALID`, `NOT_FOUND` for an id that is not there, `LIMIT`. */
  putPin(request: PinRequest): Promise<ClusterPin>

  /** Deletes a pin as it is known here: what another member changes at the same time stays. @throws `NOT_FOUND`. */
  deletePin(id: string): Promise<ClusterPin>

  pin(id: string): ClusterPin | undefined

  /** The pins that fit, in no order. */
  pins(filter?: PinFilter): Iterable<ClusterPin>

  /** What members say of their copies. A claim: whether it counts is the reader's to judge. */
  holds(pinKey: PinKey): HoldView[]

  /** Says how this node's own copy is. Says nothing when nothing changed. */
  reportHold(report: HoldReport): Promise<void>

  /** Says how this node is; kept until it changes. */
  setProfile(profile: Profile): Promise<void>

  /** Calls for each change that is durable, whoever made it. */
  watch(watcher: (changes: readonly RecordChange[]) => void): Disposable

  stats(): ReplicationStats
}

export interface ReplicationDeps {
  readonly identity: Identity
  readonly host: Host
  readonly journal: Journal
  readonly log: Logger
  /** The clock, in ms since 1970. @default Date.now */
  readonly now?: (() => number) | undefined
  /** How this node is, asked before each heartbeat. @default nothing used, nothing free */
  readonly load?: (() => NodeLoad) | undefined
}

export interface ReplicationOptions {
  /** What this node says of itself; it may depend on the bytes of the copies that it has. */
  readonly profile: Profile | ((copyByteLength: number) => Profile)
  /** @default HEARTBEAT_INTERVAL_MS */
  readonly intervalMs?: number | undefined
  /** @default MIN_DEAD_RECORDS */
  readonly minDeadRecords?: number | undefined
  /** How long a deleted pin is remembered at least. @default FORGET_AFTER_MS */
  readonly forgetAfterMs?: number | undefined
  /** @default FORGET_INTERVAL_MS */
  readonly forgetIntervalMs?: number | undefined
}
