import { type AbortOptions, HoldfastError, type Logger, requireVerifiable } from '@holdfast/core'
import type { Host, Identity, PeerId } from '@holdfast/network'
import type { Journal } from '@holdfast/pins'
import type { CID } from 'multiformats/cid'
import { randomBytes } from 'node:crypto'
import * as limits from './limits.ts'
import type { RecordChange } from './map/record-map.ts'
import { pinKeyOf, type PinKey, pinRecordOf } from './map/stored-record.ts'
import { ClusterClock, type ClockOwner } from './members/cluster-clock.ts'
import { clusterIdText, type InviteOptions, Membership } from './members/membership.ts'
import { type Copies, HOLD_STATES, type HoldState, PIN_MODES, type PinMode, type PinRecord, type ProfileFields, type Role, ROLES } from './record/record.ts'
import type { ClusterState } from './store/cluster-memory.ts'
import { openRecordStore, type RecordStore } from './store/record-store.ts'
import type { Heartbeat } from './sync/messages.ts'
import { openRecordSync, type RecordSync, type SyncStats } from './sync/record-sync.ts'

/** The cluster that this node is in. */
export interface ClusterView {
  /** Hash of the genesis, in base32. */
  readonly id: string
  readonly name: string
  /** What this node may do; `removed` when an admin took it out. */
  readonly role: Role | 'removed'
}

/** A member of the cluster, as far as this node knows. */
export interface MemberView {
  readonly peer: PeerId
  readonly role: Role
  readonly isSelf: boolean
  /** What it calls itself. */
  readonly name: string | undefined
  /** What an admin said, else what the member says. */
  readonly zone: string | undefined
  /** Declared; `undefined` until its profile came. */
  readonly capacityBytes: number | undefined
  readonly version: string | undefined
  readonly addresses: readonly string[]
  /** Heard of within the last three heartbeats, on the clock of this node. */
  readonly isAlive: boolean
  /** How long ago it was heard, in ms; `undefined` when it was not since this node started. */
  readonly lastSeenAgoMs: number | undefined
  /** What its last heartbeat said; of this node, how it is now. */
  readonly heartbeat: Heartbeat | undefined
  /** Copies that it says it has. */
  readonly copyCount: number
  /** How far its clock is ahead of the time that most members agree on, in ms; below 0 when it is behind. `undefined` when it was not heard since this node started. */
  readonly clockAheadMs: number | undefined
}

/** A pin of the cluster. */
export interface ClusterPin {
  /** 16 bytes in hex. */
  readonly id: string
  readonly cid: CID
  readonly mode: PinMode
  /** What its copies are counted by. */
  readonly pinKey: PinKey
  readonly name?: string
  readonly meta: Readonly<Record<string, string>>
  readonly copies: Copies
  /** Zones that are asked for. */
  readonly zones?: readonly string[]
  readonly expireAtMs?: number
  /** The member that added it. */
  readonly origin: PeerId
  readonly createdMs: number
  /** Who changed it last. */
  readonly writer: PeerId
}

export interface PinRequest {
  readonly cid: CID
  /** @default 'recursive' */
  readonly mode?: PinMode | undefined
  readonly name?: string | undefined
  readonly meta?: Readonly<Record<string, string>> | undefined
  /** N: at most N, at least ⌈N/2⌉. @default 2 */
  readonly copies?: number | 'all' | undefined
  readonly zones?: readonly string[] | undefined
  readonly expireAtMs?: number | undefined
  /** Changes this pin, all of it; who added it and when stays. */
  readonly id?: string | undefined
}

export interface PinFilter {
  /** Matches by multihash. */
  readonly cid?: CID | undefined
  readonly mode?: PinMode | undefined
  readonly name?: string | undefined
}

/** What a member says of its copy. */
export interface HoldView {
  readonly holder: PeerId
  readonly state: HoldState
  readonly byteLength: number
  /** When it said so, in ms since 1970 on its clock. */
  readonly atMs: number
  readonly why?: string
  /** Members whose copy it found wanting. */
  readonly doubts: readonly PeerId[]
}

export interface HoldReport {
  readonly pinKey: PinKey
  readonly state: HoldState
  readonly byteLength: number
  readonly why?: string | undefined
  /** At most `MAX_DOUBTS`. @default none */
  readonly doubts?: readonly PeerId[] | undefined
}

/** How this node is, as its heartbeats tell. */
export type NodeLoad = Omit<Heartbeat, 'version' | 'clockMs'>

/** What this node says of itself. */
export type Profile = Pick<ProfileFields, 'name' | 'zone' | 'capacityBytes' | 'version'>

export interface ReplicationStats extends SyncStats {
  readonly recordCount: number
  readonly pinCount: number
  readonly holdCount: number
  readonly waitingCount: number
  readonly equivocationCount: number
  /** Hash of all records, in hex: the same on members that have the same. */
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

  /** Joins a cluster. @throws `INVALID` with `details.reason` for an invite that cannot be used; `UNAVAILABLE` when the admin cannot be reached. */
  join(invite: string, options?: AbortOptions): Promise<ClusterView>

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
}

const NO_LOAD: NodeLoad = { usedBytes: 0, freeBytes: 0, isFull: false, queueLength: 0, fetching: [] }

const DEFAULT_COPIES = 2

/** Opens what this node knows of its cluster, and begins to exchange it. The journal and the host stay the caller's. */
export async function openReplication ({ identity, host, journal, log, now = Date.now, load = () => NO_LOAD }: ReplicationDeps, { profile: given, intervalMs = limits.HEARTBEAT_INTERVAL_MS, minDeadRecords }: ReplicationOptions): Promise<Replication> {
  await using opening = new AsyncDisposableStack()
  const owners = (): ClockOwner[] => [...store.cluster?.map.members.byPeer.values() ?? []].filter(({ isActive }) => isActive).map(({ peer, role }) => ({ peer, isAdmin: role === 'admin' }))
  const clock = new ClusterClock({ self: identity.peerId, now, owners, log })
  const store = opening.use(await openRecordStore({ identity, journal, log, now: clock.now }, { minDeadRecords }))
  const membership = opening.use(new Membership({ identity, host, store, log, now: clock.now }))
  await membership.open()
  const profile = typeof given === 'function' ? given(store.cluster?.map.copyTotals().get(identity.peerId)?.byteLength ?? 0) : given
  const beat = (): Heartbeat => ({ ...load(), version: profile.version, clockMs: Math.max(0, Math.floor(now())) })
  const replication = new ClusterReplication({ identity, host, store, membership, clock, profile, beat, intervalMs })
  const sync = opening.use(await openRecordSync({ host, store, log, beat, clock }, { intervalMs }))
  await replication.start(sync, opening)
  replication.closes(opening.move())
  return replication
}

interface Parts {
  readonly identity: Identity
  readonly host: Host
  readonly store: RecordStore
  readonly membership: Membership
  readonly clock: ClusterClock
  readonly profile: Profile
  readonly beat: () => Heartbeat
  readonly intervalMs: number
}

class ClusterReplication implements Replication {
  readonly #identity: Identity
  readonly #host: Host
  readonly #store: RecordStore
  readonly #membership: Membership
  readonly #clock: ClusterClock
  readonly #beat: () => Heartbeat
  readonly #intervalMs: number
  readonly #closing = new AsyncDisposableStack()
  #profile: Profile
  #sync: RecordSync | undefined
  #lastCreatedMs = 0

  constructor ({ identity, host, store, membership, clock, profile, beat, intervalMs }: Parts) {
    this.#identity = identity
    this.#host = host
    this.#store = store
    this.#membership = membership
    this.#clock = clock
    this.#profile = profile
    this.#beat = beat
    this.#intervalMs = intervalMs
  }

  get profile (): Profile {
    return this.#profile
  }

  async start (sync: RecordSync, opening: AsyncDisposableStack): Promise<void> {
    this.#sync = sync
    await this.#publishProfile()
    // Addresses change while a node runs, and another node with the same identity may have written a profile.
    const timer = setInterval(() => { void this.#publishProfile().catch(() => {}) }, this.#intervalMs)
    opening.defer(() => { clearInterval(timer) })
  }

  closes (open: AsyncDisposableStack): void {
    this.#closing.use(open)
  }

  get cluster (): ClusterView | undefined {
    const map = this.#store.cluster?.map
    if (map === undefined) return undefined
    const own = map.members.byPeer.get(this.#identity.peerId)
    return { id: clusterIdText(map.cluster), name: map.genesis.fields.name, role: own?.isActive === true ? own.role : 'removed' }
  }

  members (): MemberView[] {
    const map = this.#store.cluster?.map
    if (map === undefined) return []
    const copies = map.copyTotals()
    return [...map.members.byPeer.values()].filter(({ isActive }) => isActive).map(({ peer, role, zone }) => {
      const profile = map.profile(peer)?.fields
      const isSelf = peer === this.#identity.peerId
      const heard = this.#sync?.heard(peer)
      const lastSeenAgoMs = isSelf ? 0 : heard === undefined ? undefined : performance.now() - heard.atMs
      return {
        peer,
        role,
        isSelf,
        name: profile?.name,
        zone: zone ?? (profile?.zone === '' ? undefined : profile?.zone),
        capacityBytes: profile?.capacityBytes,
        version: heard?.beat?.version ?? profile?.version,
        addresses: profile?.addresses ?? [],
        isAlive: lastSeenAgoMs !== undefined && lastSeenAgoMs <= this.#intervalMs * limits.ALIVE_INTERVALS,
        lastSeenAgoMs,
        heartbeat: isSelf ? this.#beat() : heard?.beat,
        copyCount: copies.get(peer)?.count ?? 0,
        clockAheadMs: this.#clock.aheadMs(peer)
      }
    })
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
    await this.#publishProfile()
    return invite
  }

  async join (invite: string, options: AbortOptions = {}): Promise<ClusterView> {
    await this.#membership.join(invite, options)
    return await this.#entered()
  }

  async remove (peer: PeerId): Promise<void> {
    await this.#membership.remove(peer)
  }

  async setRole (peer: PeerId, role: Role): Promise<void> {
    requireRole(role)
    await this.#membership.setRole(peer, role)
  }

  requirePinnable ({ mode = 'recursive', name, meta, zones, copies = DEFAULT_COPIES }: Omit<PinRequest, 'cid' | 'id'>): void {
    this.#requireWriter()
    requirePinnable({ mode, name, meta, zones })
    copiesOf(copies)
  }

  async putPin ({ cid, mode = 'recursive', name, meta, copies = DEFAULT_COPIES, zones, expireAtMs, id }: PinRequest): Promise<ClusterPin> {
    const { map, writer } = this.#requireWriter()
    requireVerifiable(cid)
    requirePinnable({ mode, name, meta, zones })
    const known = id === undefined ? undefined : this.#requirePin(id)
    const { origin, createdMs } = known?.fields ?? { origin: this.#identity.peerId, createdMs: this.#nextCreatedMs() }
    const record = writer.pin({
      pinId: known?.fields.pinId ?? new Uint8Array(randomBytes(16)),
      op: 'put',
      cid,
      mode,
      copies: copiesOf(copies),
      origin,
      createdMs,
      ...name !== undefined && name !== '' && { name },
      ...meta !== undefined && { meta },
      ...zones !== undefined && { zones },
      ...expireAtMs !== undefined && { expireAtMs }
    })
    if (known === undefined && map.counts.pins >= limits.MAX_PINS) throw new HoldfastError('LIMIT', `The cluster has ${limits.MAX_PINS} pins, deleted ones included, the most there can be`)
    await this.#store.write(record)
    return pinView(record)
  }

  async deletePin (id: string): Promise<ClusterPin> {
    const { writer } = this.#requireWriter()
    const known = this.#requirePin(id)
    const { pinId, cid, mode, copies, origin, createdMs } = known.fields
    await this.#store.write(writer.pin({ pinId, op: 'del', cid, mode, copies, origin, createdMs }))
    return pinView(known)
  }

  pin (id: string): ClusterPin | undefined {
    const pin = /^[0-9a-f]{32}$/.test(id) ? this.#store.cluster?.map.pin(Buffer.from(id, 'hex').toString('latin1')) : undefined
    return pin === undefined ? undefined : pinView(pinRecordOf(pin))
  }

  * pins ({ cid, mode, name }: PinFilter = {}): Generator<ClusterPin> {
    const pinKeys = cid === undefined ? undefined : PIN_MODES.map((mode) => pinKeyOf(cid, mode))
    for (const stored of this.#store.cluster?.map.pins() ?? []) {
      if (pinKeys?.includes(stored.pinKey) === false) continue
      const pin = pinView(pinRecordOf(stored))
      if ((mode === undefined || pin.mode === mode) && (name === undefined || pin.name === name)) yield pin
    }
  }

  holds (pinKey: PinKey): HoldView[] {
    const holds = this.#store.cluster?.map.holds(pinKey) ?? []
    return [...holds].map(({ writer, state, byteLength, hlc: [atMs], why, doubts = [] }) => ({ holder: writer, state, byteLength, atMs, doubts, ...why !== undefined && { why } }))
  }

  async reportHold ({ pinKey, state, byteLength, why, doubts = [] }: HoldReport): Promise<void> {
    const { map, writer } = this.#requireMember()
    if (!/^(?:[0-9a-f]{2}){3,133}$/.test(pinKey)) throw new HoldfastError('INVALID', `${JSON.stringify(pinKey.slice(0, 80))} is not a pin key`)
    if (!HOLD_STATES.includes(state)) throw new HoldfastError('INVALID', `Not a state of a copy: ${JSON.stringify(state)}`)
    const known = map.holdOf(pinKey, this.#identity.peerId)
    // A verification, and a refusal, says something new by its time alone.
    if (known !== undefined && state !== 'verified' && state !== 'refused' && known.state === state && known.byteLength === byteLength && known.why === why) return
    await this.#store.write(writer.hold({ pinKey: Buffer.from(pinKey, 'hex'), state, bytes: byteLength, ...why !== undefined && { why: shortened(why) }, ...doubts.length > 0 && { doubts } }))
  }

  async setProfile (profile: Profile): Promise<void> {
    this.#profile = profile
    await this.#publishProfile()
  }

  watch (watcher: (changes: readonly RecordChange[]) => void): Disposable {
    return this.#store.watch(({ changes }) => { if (changes.length > 0) watcher(changes) })
  }

  stats (): ReplicationStats {
    const map = this.#store.cluster?.map
    const { records = 0, pins = 0, holds = 0, waiting = 0, equivocations = 0 } = map?.counts ?? {}
    const sync = this.#sync?.stats ?? { linkCount: 0, roundCount: 0, failedRoundCount: 0, fetchedRecordCount: 0, refusedStreamCount: 0 }
    return { ...sync, recordCount: records, pinCount: pins, holdCount: holds, waitingCount: waiting, equivocationCount: equivocations, root: Buffer.from(map?.tree.root() ?? []).toString('hex') }
  }

  async [Symbol.asyncDispose] (): Promise<void> {
    await this.#closing.disposeAsync()
  }

  async #entered (): Promise<ClusterView> {
    await this.#publishProfile()
    this.#sync?.wake()
    const cluster = this.cluster
    if (cluster === undefined) throw new HoldfastError('UNAVAILABLE', 'The cluster is gone')
    return cluster
  }

  /** Writes the profile when the one that is held says something else. */
  async #publishProfile (): Promise<void> {
    if (!this.#membership.isMember) return
    const { map, writer } = this.#requireMember()
    const held = map.profile(this.#identity.peerId)?.fields
    const { name, zone, capacityBytes, version } = this.#profile
    const addresses = this.#host.addresses().filter(({ length }) => length <= limits.MAX_ADDRESS_CHARACTERS).slice(0, limits.MAX_ADDRESSES)
    const isSame = held?.name === name && held?.zone === zone && held.capacityBytes === capacityBytes && held.version === version && held.addresses.join(' ') === addresses.join(' ')
    if (!isSame) await this.#store.write(writer.profile({ ...name !== undefined && { name }, zone, capacityBytes, version, addresses }))
  }

  #requireMember (): ClusterState {
    const cluster = this.#store.cluster
    if (cluster === undefined) throw new HoldfastError('INVALID', 'This node is in no cluster. Invite a member, or join with an invite', { reason: 'no-cluster' })
    if (!this.#membership.isMember) throw new HoldfastError('INVALID', 'This node was removed from its cluster. Join with a new invite', { reason: 'removed' })
    return cluster
  }

  #requireWriter (): ClusterState {
    const cluster = this.#requireMember()
    if (cluster.map.members.byPeer.get(this.#identity.peerId)?.role === 'reader') throw new HoldfastError('INVALID', 'This node is a reader: it may not change pins. Ask an admin for another role', { reason: 'reader' })
    return cluster
  }

  #requirePin (id: string): PinRecord {
    const pin = /^[0-9a-f]{32}$/.test(id) ? this.#store.cluster?.map.pin(Buffer.from(id, 'hex').toString('latin1')) : undefined
    if (pin === undefined) throw new HoldfastError('NOT_FOUND', `No pin has the id ${JSON.stringify(id.slice(0, 80))}`, { reason: 'not-pinned', id: id.slice(0, 80) })
    return pinRecordOf(pin)
  }

  /** The clock may stand still or go back; the order of pins does not. */
  #nextCreatedMs (): number {
    this.#lastCreatedMs = Math.max(Math.floor(this.#clock.now()), this.#lastCreatedMs + 1)
    return this.#lastCreatedMs
  }
}

function pinView ({ writer, fields: { pinId, cid, mode, name, meta = {}, copies, zones, expireAtMs, origin, createdMs } }: Pick<PinRecord, 'writer' | 'fields'>): ClusterPin {
  return {
    id: Buffer.from(pinId).toString('hex'),
    cid,
    mode,
    pinKey: pinKeyOf(cid, mode),
    ...name !== undefined && { name },
    meta,
    copies,
    ...zones !== undefined && { zones },
    ...expireAtMs !== undefined && { expireAtMs },
    origin,
    createdMs,
    writer
  }
}

/** DESIGN.md, Rulings: at most N, at least the half of it. Of `'all'` one copy is the least. */
function copiesOf (copies: number | 'all'): Copies {
  if (copies === 'all') return { min: 1, max: 'all' }
  if (!Number.isInteger(copies) || copies < 1 || copies > limits.MAX_COPIES) {
    throw new HoldfastError('INVALID', `${copies} copies cannot be kept: ask for 1 to ${limits.MAX_COPIES}, or all`, { copies })
  }
  return { min: Math.ceil(copies / 2), max: copies }
}

function requirePinnable ({ mode, name = '', meta = {}, zones = [] }: Pick<PinRequest, 'mode' | 'name' | 'meta' | 'zones'>): void {
  if (!PIN_MODES.some((known) => known === mode)) throw new HoldfastError('INVALID', `Not a kind of pin: ${JSON.stringify(mode)}; use recursive or direct`)
  const entries = Object.entries(meta)
  for (const text of [name, ...zones, ...entries.flat()]) if (!text.isWellFormed()) throw new HoldfastError('INVALID', `${JSON.stringify(text.slice(0, 80))} is not text: it holds half a character`)
  const nameBytes = Buffer.byteLength(name)
  if (nameBytes > limits.MAX_PIN_NAME_BYTES) throw new HoldfastError('INVALID', `Pin name has ${nameBytes} bytes; at most ${limits.MAX_PIN_NAME_BYTES} are kept`, { byteLength: nameBytes })
  const metaBytes = entries.flat().reduce((sum, text) => sum + Buffer.byteLength(text), 0)
  if (entries.length > limits.MAX_META_KEYS || metaBytes > limits.MAX_META_BYTES) throw new HoldfastError('INVALID', `Meta has ${entries.length} keys and ${metaBytes} bytes; at most ${limits.MAX_META_KEYS} and ${limits.MAX_META_BYTES} are kept`)
  if (zones.length > limits.MAX_PLACES || zones.some((zone) => zone === '' || Buffer.byteLength(zone) > limits.MAX_LABEL_BYTES)) throw new HoldfastError('INVALID', `Zones have 1 to ${limits.MAX_LABEL_BYTES} bytes, and at most ${limits.MAX_PLACES} may be asked for`)
}

function requireRole (role: string): void {
  if (!ROLES.some((known) => known === role)) throw new HoldfastError('INVALID', `Not a role: ${JSON.stringify(role)}; use ${ROLES.join(', ')}`)
}

/** Cuts a reason to what a record holds, at a character. */
function shortened (why: string): string {
  return Buffer.byteLength(why) <= limits.MAX_WHY_BYTES ? why : Buffer.from(why).subarray(0, limits.MAX_WHY_BYTES - 4).toString().replace(/\uFFFD+$/, '') + '…'
}
