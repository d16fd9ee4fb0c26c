import { HoldfastError, type Logger } from '@holdfast/core'
import type { Host, Identity, PeerId } from '@holdfast/network'
import type { RecordChange } from '../map/record-map.ts'
import type { PinKey } from '../map/stored-record.ts'
import type { Departure, LeaveOptions } from '../members/departure.ts'
import type { ClusterClock } from '../members/cluster-clock.ts'
import type { InviteOptions, JoinOptions, Membership } from '../members/membership.ts'
import { type Role, ROLES } from '../record/record.ts'
import type { Replication, ReplicationStats } from '../replication.ts'
import type { RecordStore } from '../store/record-store.ts'
import type { Heartbeat } from '../sync/messages.ts'
import type { RecordSync } from '../sync/record-sync.ts'
import type { ClusterPin, PinFilter } from './cluster-pin.ts'
import { ClusterPins } from './cluster-pins.ts'
import { DeletedPins } from './deleted-pins.ts'
import { type HoldReport, holdsOf, type HoldView, reportHold } from './own-holds.ts'
import { OwnProfile, type Profile } from './own-profile.ts'
import { copiesOf, type PinRequest, requirePinnable } from './pin-request.ts'
import { type ClusterView, type MemberView, Roster } from './roster.ts'
import { Standing } from './standing.ts'

export interface ClusterReplicationParts {
  readonly identity: Identity
  readonly host: Host
  readonly store: RecordStore
  readonly membership: Membership
  readonly departure: Departure
  readonly clock: ClusterClock
  readonly profile: Profile
  readonly beat: () => Heartbeat
  readonly intervalMs: number
  readonly log: Logger
  readonly forgetAfterMs: number
  readonly forgetIntervalMs: number
}

/** Puts the parts of a replication together: records, membership and the exchange. */
export class ClusterReplication implements Replication {
  readonly #self: PeerId
  readonly #store: RecordStore
  readonly #membership: Membership
  readonly #departure: Departure
  readonly #clock: ClusterClock
  readonly #intervalMs: number
  readonly #standing: Standing
  readonly #profile: OwnProfile
  readonly #roster: Roster
  readonly #pins: ClusterPins
  readonly #closing = new AsyncDisposableStack()
  readonly #parts: Pick<ClusterReplicationParts, 'log' | 'clock' | 'forgetAfterMs' | 'forgetIntervalMs'>
  #sync: RecordSync | undefined

  constructor ({ identity: { peerId: self }, host, store, membership, departure, clock, profile, beat, intervalMs, ...parts }: ClusterReplicationParts) {
    this.#parts = { ...parts, clock }
    this.#self = self
    this.#store = store
    this.#membership = membership
    this.#departure = departure
    this.#clock = clock
    this.#intervalMs = intervalMs
    const standing = this.#standing = new Standing(self, store)
    this.#profile = new OwnProfile({ self, host, store, standing }, profile)
    this.#roster = new Roster({ self, store, standing, beat, clock, intervalMs })
    this.#pins = new ClusterPins({ self, store, standing, now: clock.now })
  }

  async start (sync: RecordSync, opening: AsyncDisposableStack): Promise<void> {
    this.#sync = this.#roster.sync = sync
    await this.#profile.publish()
    // Addresses change while a node runs, and another node with the same identity may have written a profile.
    const timer = setInterval(() => { void this.#profile.publish().catch(() => {}) }, this.#intervalMs)
    opening.defer(() => { clearInterval(timer) })
    this.#forgetDeleted(sync, opening)
  }

  closes (open: AsyncDisposableStack): void {
    this.#closing.use(open)
  }

  get profile (): Profile {
    return this.#profile.value
  }

  get cluster (): ClusterView | undefined {
    return this.#roster.cluster
  }

  members (): MemberView[] {
    return this.#roster.members()
  }

  now (): number {
    return this.#clock.now()
  }

  async createCluster ({ name = 'cluster' }: { readonly name?: string } = {}): Promise<ClusterView> {
    await this.#membership.create(name)
    return await this.#entered()
  }

  async invite (options: InviteOptions = {}): Promise<{ readonly invite: string, readonly expiresMs: number }> {
    if (options.role !== undefined) requireRole(options.role)
    const invite = await this.#membership.invite(options)
    await this.#profile.publish()
    return invite
  }

  async join (invite: string, options: JoinOptions = {}): Promise<ClusterView> {
    await this.#membership.join(invite, options)
    return await this.#entered()
  }

  async leave (options: LeaveOptions = {}): Promise<void> {
    await this.#departure.leave(options)
  }

  async remove (peer: PeerId): Promise<void> {
    await this.#membership.remove(peer)
  }

  async setRole (peer: PeerId, role: Role): Promise<void> {
    requireRole(role)
    await this.#membership.setRole(peer, role)
  }

  requirePinnable ({ mode, name, meta, zones, copies }: Omit<PinRequest, 'cid' | 'id'>): void {
    this.#standing.requireWriter()
    requirePinnable({ mode, name, meta, zones })
    copiesOf(copies)
  }

  async putPin (request: PinRequest): Promise<ClusterPin> {
    return await this.#pins.put(request)
  }

  async deletePin (id: string): Promise<ClusterPin> {
    return await this.#pins.delete(id)
  }

  pin (id: string): ClusterPin | undefined {
    return this.#pins.get(id)
  }

  pins (filter?: PinFilter): Iterable<ClusterPin> {
    return this.#pins.list(filter)
  }

  holds (pinKey: PinKey): HoldView[] {
    return holdsOf(this.#store, pinKey)
  }

  async reportHold (report: HoldReport): Promise<void> {
    await reportHold({ self: this.#self, store: this.#store, standing: this.#standing }, report)
  }

  async setProfile (profile: Profile): Promise<void> {
    await this.#profile.set(profile)
  }

  watch (watcher: (changes: readonly RecordChange[]) => void): Disposable {
    return this.#store.watch(({ changes }) => { if (changes.length > 0) watcher(changes) })
  }

  stats (): ReplicationStats {
    const map = this.#store.cluster?.map
    const { records = 0, pins = 0, forgotten = 0, holds = 0, waiting = 0, equivocations = 0 } = map?.counts ?? {}
    const sync = this.#sync?.stats ?? { linkCount: 0, roundCount: 0, failedRoundCount: 0, fetchedRecordCount: 0, refusedStreamCount: 0 }
    return {
      ...sync,
      recordCount: records,
      pinCount: pins,
      forgottenCount: forgotten,
      holdCount: holds,
      waitingCount: waiting,
      equivocationCount: equivocations,
      // Computed only for who asks: it hashes all that changed since it was asked for last.
      get root () { return Buffer.from(map?.tree.root() ?? []).toString('hex') }
    }
  }

  async [Symbol.asyncDispose] (): Promise<void> {
    await this.#closing.disposeAsync()
  }

  #forgetDeleted (sync: RecordSync, opening: AsyncDisposableStack): void {
    const { log, clock: { now }, forgetAfterMs, forgetIntervalMs } = this.#parts
    const deleted = new DeletedPins({ self: this.#self, store: this.#store, standing: this.#standing, sync, log, now }, { forgetAfterMs })
    let checking = Promise.resolve()
    const check = (): void => { checking = checking.then(async () => { await deleted.check() }).catch((err: unknown) => { log.warn('Deleted pins were not forgotten, which is tried again later', { err }) }) }
    const timer = setInterval(check, forgetIntervalMs)
    opening.defer(async () => {
      clearInterval(timer)
      await checking
    })
  }

  async #entered (): Promise<ClusterView> {
    await this.#profile.publish()
    this.#sync?.wake()
    const cluster = this.cluster
    if (cluster === undefined) throw new HoldfastError('UNAVAILABLE', 'The cluster is gone')
    return cluster
  }
}

function requireRole (role: string): void {
  if (!ROLES.some((known) => known === role)) throw new HoldfastError('INVALID', `Not a role: ${JSON.stringify(role)}; use ${ROLES.join(', ')}`)
}
