import { type AbortOptions, HoldfastError, isHoldfastError, type Logger } from '@holdfast/core'
import type { Host, Identity, PeerId, PeerStream } from '@holdfast/network'
import { base32 } from 'multiformats/bases/base32'
import { randomBytes } from 'node:crypto'
import { ANSWER_TIMEOUT_MS, INVITE_LIFETIME_MS, MAX_LABEL_BYTES, MAX_MEMBERS } from '../limits.ts'
import { RecordMap } from '../map/record-map.ts'
import type { RecordWriter } from '../map/record-writer.ts'
import { decodeEnvelope, isSigned } from '../record/envelope.ts'
import { parseEnvelope } from '../record/parse-record.ts'
import type { ClusterRecord, GenesisRecord, Role } from '../record/record.ts'
import { signGenesis } from '../record/sign-record.ts'
import type { ClusterState } from '../store/cluster-memory.ts'
import type { RecordStore } from '../store/record-store.ts'
import { verifiedRecords } from '../sync/verified-records.ts'
import { type IssuedInvite, inviteRecord, secretHashOf } from './invite-book.ts'
import type { MemberState } from './member-table.ts'
import { formatInvite, type Invite, parseInvite, SECRET_BYTES } from './invite.ts'
import { answerJoin, JOIN_PROTOCOL, type JoinAnswer, readJoin, type Refusal, sendJoin } from './join-protocol.ts'
import { proofOf, provesMembership } from './membership-proof.ts'
import { whenAborted } from './when-aborted.ts'

/** Name of a cluster that nobody named. */
export const DEFAULT_CLUSTER_NAME = 'cluster'

export interface InviteOptions {
  /** @default 'member' */
  role?: Role | undefined
  /** Where the new member stands; else it says so itself. */
  zone?: string | undefined
  /** How long it may be used, in ms: at most `INVITE_LIFETIME_MS`. @default INVITE_LIFETIME_MS */
  lifetimeMs?: number | undefined
}

/** What happens around the end of a membership. */
export interface Forgetting {
  /** Called when it is certain that the node forgets its cluster, to do what has to be done before; it has to call `forget`. */
  readonly forgetting?: ((forget: () => Promise<void>) => Promise<void>) | undefined
}

export interface JoinOptions extends AbortOptions, Forgetting {
  /** Leaves the cluster that this node is in, when it is alone there. @default false */
  readonly leave?: boolean | undefined
}

export interface MembershipDeps {
  readonly identity: Identity
  readonly host: Host
  readonly store: RecordStore
  readonly log: Logger
  readonly now: () => number
}

/** Texts of ids that were asked for: a node asks for that of its cluster with each pin. */
const idTexts = new WeakMap<Uint8Array, string>()

/** A cluster id as people see it. @param cluster Not written to. */
export function clusterIdText (cluster: Uint8Array): string {
  const text = idTexts.get(cluster) ?? base32.encode(cluster)
  idTexts.set(cluster, text)
  return text
}

/** Creates clusters and joins them, admits and removes members. */
export class Membership implements AsyncDisposable {
  readonly #identity: Identity
  readonly #host: Host
  readonly #store: RecordStore
  readonly #log: Logger
  readonly #now: () => number
  #handler: AsyncDisposable | undefined
  /** One change at a time: each member record names the one before it. */
  #changing: Promise<unknown> = Promise.resolve()

  constructor ({ identity, host, store, log, now }: MembershipDeps) {
    this.#identity = identity
    this.#host = host
    this.#store = store
    this.#log = log
    this.#now = now
  }

  async open (): Promise<void> {
    this.#handler = await this.#host.handle([JOIN_PROTOCOL], async (stream) => { await this.#admit(stream) }, { maxInboundStreams: 2 })
  }

  async [Symbol.asyncDispose] (): Promise<void> {
    await this.#handler?.[Symbol.asyncDispose]()
    await this.#changing
  }

  /** Whether this node is an active member of a cluster. */
  get isMember (): boolean {
    return this.#store.cluster?.map.members.byPeer.get(this.#identity.peerId)?.isActive === true
  }

  /** @throws `INVALID` when the node is in a cluster, or for a name that is empty or too long. */
  async create (name: string): Promise<void> {
    await this.#exclusively(async () => { await this.#create(name) })
  }

  /** Issues an invite; its use is journalled. Creates the cluster when there is none. */
  async invite ({ role = 'member', zone, lifetimeMs = INVITE_LIFETIME_MS }: InviteOptions): Promise<{ invite: string, expiresMs: number }> {
    return await this.#exclusively(async () => {
      if (zone !== undefined) requireLabel('zone', zone)
      requireLifetime(lifetimeMs)
      if (this.#store.cluster === undefined) await this.#create(DEFAULT_CLUSTER_NAME)
      const { map } = this.#requireAdmin('invite members')
      this.#store.invites.requireRoom(this.#now())
      const secret = new Uint8Array(randomBytes(SECRET_BYTES))
      const expiresMs = Math.floor(this.#now() + lifetimeMs)
      const issued = { secretHash: secretHashOf(secret), role, ...zone !== undefined && { zone }, expiresMs }
      const record = inviteRecord(issued)
      await this.#store.note([record])
      this.#store.invites.apply(record.value)
      return { invite: formatInvite(this.#identity, { cluster: map.cluster, addresses: this.#host.addresses(), secret, role, ...zone !== undefined && { zone }, expiresMs }), expiresMs }
    })
  }

  /**
   * Redeems an invite. The node is a member, durably, when this resolves; the records follow.
   *
   * @throws `INVALID` for an invite that is none, was used, has expired, or when the node is in a cluster; `UNAVAILABLE` when the admin cannot be reached.
   */
  async join (text: string, { signal, leave = false, forgetting = runIt }: JoinOptions): Promise<void> {
    const invite = parseInvite(text)
    await this.#exclusively(async () => {
      this.#requireFree(invite, leave)
      const answer = await this.#redeem(invite, signal)
      if (answer.t === 'refused') throw refused(answer.why, invite)
      const { genesis, records } = await this.#checkedWelcome(invite, answer)
      const begin = async (): Promise<void> => { await this.#store.begin(genesis, records) }
      await (this.#store.cluster === undefined ? begin() : forgetting(begin))
    })
  }

  /** Forgets the cluster, unless the node is in another one by now. Durable when it resolves. */
  async forget (map: RecordMap, { forgetting = runIt }: Forgetting): Promise<void> {
    await this.#exclusively(async () => {
      if (this.#store.cluster?.map === map) await forgetting(async () => { await this.#store.leave() })
    })
  }

  /**
   * Removes a member: from now on its records do not count, and its copies neither.
   *
   * @throws `NOT_FOUND` when the peer is no active member; `INVALID` when this node is no admin, or the last one.
   */
  async remove (peer: PeerId): Promise<void> {
    await this.#exclusively(async () => {
      const { map, writer } = this.#requireAdmin('remove members')
      const { role } = requireActive(map, peer)
      this.#requireOtherAdmin(map, peer)
      // What it deletes from here on has erased nothing on this node, which gives it back to the others.
      using _ = map.suspend(peer)
      await this.#store.write(writer.member({ peer, role, state: 'removed', cutoff: cutoffOf(map, peer), ...headOf(writer, peer) }))
    })
  }

  /** Gives a member another role. @throws as `remove`. */
  async setRole (peer: PeerId, role: Role): Promise<void> {
    await this.#exclusively(async () => {
      const { map, writer } = this.#requireAdmin('change roles')
      const { zone } = requireActive(map, peer)
      if (role !== 'admin') this.#requireOtherAdmin(map, peer)
      using _ = map.suspend(peer)
      await this.#store.write(writer.member({ peer, role, state: 'active', ...role === 'reader' && { cutoff: cutoffOf(map, peer) }, ...headOf(writer, peer), ...zone !== undefined && { zone } }))
    })
  }

  async #exclusively<T> (change: () => Promise<T>): Promise<T> {
    const turn = this.#changing.then(change)
    this.#changing = turn.catch(() => {})
    return await turn
  }

  async #create (name: string): Promise<void> {
    requireLabel('name of a cluster', name)
    if (this.isMember) throw new HoldfastError('INVALID', `This node is in the cluster ${this.#clusterName()} already`, { reason: 'in-cluster' })
    await this.#store.begin(signGenesis(this.#identity, { name, nonce: new Uint8Array(randomBytes(16)), createdMs: Math.floor(this.#now()) }), [])
  }

  #clusterName (): string {
    return JSON.stringify(this.#store.cluster?.map.genesis.fields.name ?? '')
  }

  #requireAdmin (what: string): ClusterState {
    const cluster = this.#store.cluster
    if (cluster === undefined) throw new HoldfastError('INVALID', `Cannot ${what}: this node is in no cluster`, { reason: 'no-cluster' })
    const own = cluster.map.members.byPeer.get(this.#identity.peerId)
    if (own?.isActive !== true || own.role !== 'admin') throw new HoldfastError('INVALID', `Cannot ${what}: this node is no admin of ${this.#clusterName()}. Ask one of its admins`, { reason: 'not-admin' })
    return cluster
  }

  #requireOtherAdmin (map: RecordMap, peer: PeerId): void {
    const others = [...map.members.byPeer.values()].filter((member) => member.isActive && member.role === 'admin' && member.peer !== peer)
    if (others.length === 0) throw new HoldfastError('INVALID', `${peer} is the last admin of ${this.#clusterName()}: make another member an admin first`, { peer, reason: 'last-admin' })
  }

  #requireFree (invite: Invite, leave: boolean): void {
    if (invite.admin === this.#identity.peerId) throw new HoldfastError('INVALID', 'This invite was issued by this node: use it on another one', { reason: 'own-invite' })
    const cluster = this.#store.cluster
    if (cluster === undefined || !this.isMember) return
    if (Buffer.compare(cluster.map.cluster, invite.cluster) === 0) throw new HoldfastError('INVALID', `This node is a member of the cluster ${this.#clusterName()} already`, { reason: 'is-member' })
    const otherCount = [...cluster.map.members.byPeer.values()].filter(({ isActive }) => isActive).length - 1
    if (leave && otherCount === 0) return
    throw new HoldfastError('INVALID', `This invite is for another cluster: this node is in ${this.#clusterName()}, ${otherCount === 0 ? aloneWords(cluster.map) : `with ${otherCount} other ${otherCount === 1 ? 'member' : 'members'}, and a node is in one cluster. Leave that one first, with holdfast member leave`}`, { reason: otherCount === 0 ? 'alone' : 'in-cluster', cluster: clusterIdText(invite.cluster) })
  }

  async #redeem (invite: Invite, signal: AbortSignal | undefined): Promise<JoinAnswer> {
    const timeout = AbortSignal.timeout(ANSWER_TIMEOUT_MS)
    try {
      await this.#host.addKnownAddresses(invite.admin, invite.addresses)
      await using stream = await this.#host.openStream(invite.admin, [JOIN_PROTOCOL], { signal: AbortSignal.any([timeout, ...signal === undefined ? [] : [signal]]) })
      const onAbort = (): void => { stream.abort(new HoldfastError('UNAVAILABLE', 'Joining took too long')) }
      using _ = whenAborted([timeout, ...signal === undefined ? [] : [signal]], onAbort)
      return await sendJoin(stream, invite.secret)
    } catch (cause) {
      signal?.throwIfAborted()
      if (invite.expiresMs < this.#now()) throw refused('expired', invite, cause)
      const why = cause instanceof Error ? cause.message : String(cause)
      throw new HoldfastError('UNAVAILABLE', `Cannot reach the admin that issued the invite, ${invite.admin}, at ${invite.addresses.join(', ')}: ${why}`, { ...isHoldfastError(cause) ? cause.details : {}, cause, peer: invite.admin })
    }
  }

  /** Believes nothing but the invite: the cluster id proves the genesis, and the genesis the rest. */
  async #checkedWelcome (invite: Invite, answer: Extract<JoinAnswer, { t: 'welcome' }>): Promise<{ genesis: GenesisRecord, records: ClusterRecord[] }> {
    const envelope = decodeEnvelope(answer.genesis)
    const genesis = parseEnvelope(envelope)
    if (genesis.kind !== 'genesis' || !isSigned(envelope)) throw new HoldfastError('INVALID', `${invite.admin} answered with something else than a genesis`, { peer: invite.admin })
    const map = new RecordMap(genesis)
    if (Buffer.compare(map.cluster, invite.cluster) !== 0) throw new HoldfastError('INVALID', `${invite.admin} answered with another cluster than the invite names`, { peer: invite.admin })
    const records = (await verifiedRecords(map, answer.records)).filter(({ kind }) => kind === 'member')
    if (!provesMembership(map, this.#identity.peerId, records)) throw new HoldfastError('INVALID', `${invite.admin} answered without an admission of this node`, { peer: invite.admin })
    return { genesis, records }
  }

  async #admit (stream: PeerStream): Promise<void> {
    using _ = whenAborted([AbortSignal.timeout(ANSWER_TIMEOUT_MS)], () => { stream.abort(new HoldfastError('UNAVAILABLE', 'Joining took too long')) })
    const secret = await readJoin(stream)
    await answerJoin(stream, await this.#exclusively(async () => await this.#answerTo(stream.peer, secret)))
  }

  /** The use of the invite and the admission become durable together, before the answer. */
  async #answerTo (peer: PeerId, secret: Uint8Array): Promise<JoinAnswer> {
    const invite = this.#store.invites.get(secretHashOf(secret))
    const cluster = this.#store.cluster
    const why = this.#refusalOf(peer, invite, cluster)
    if (why !== undefined || invite === undefined || cluster === undefined) {
      this.#log.info('An invite was refused', { peer, why })
      return { t: 'refused', why: why ?? 'unknown' }
    }
    const { map, writer } = cluster
    if (invite.usedBy === undefined) {
      const use = inviteRecord({ ...invite, usedBy: peer })
      const { role, zone } = invite
      await this.#store.write(writer.member({ peer, role, state: 'active', ...role === 'reader' && { cutoff: cutoffOf(map, peer) }, ...headOf(writer, peer), ...zone !== undefined && { zone } }), [use])
      this.#store.invites.apply(use.value)
      this.#log.info('A member joined', { peer, role })
    }
    return { t: 'welcome', genesis: map.genesis.bytes, records: proofOf(map, peer).map(({ bytes }) => bytes) }
  }

  /** Who used an invite may show it again: the answer may have been lost. */
  #refusalOf (peer: PeerId, invite: IssuedInvite | undefined, cluster: ClusterState | undefined): Refusal | undefined {
    if (invite === undefined || cluster === undefined) return 'unknown'
    const { byPeer } = cluster.map.members
    if (invite.usedBy !== undefined) return invite.usedBy === peer && byPeer.get(peer)?.isActive === true ? undefined : 'used'
    if (invite.expiresMs < this.#now()) return 'expired'
    const own = byPeer.get(this.#identity.peerId)
    if (own?.isActive !== true || own.role !== 'admin') return 'not-admin'
    return byPeer.size >= MAX_MEMBERS && !byPeer.has(peer) ? 'full' : undefined
  }
}

const REFUSALS: Readonly<Record<Refusal, string>> = {
  unknown: 'is not known to the admin that issued it. Ask for a new one',
  used: 'was used already: an invite lets in one node, once. Ask for a new one',
  expired: 'has expired. Ask for a new one, and use it in time: it is good for 24 hours unless the admin said less',
  'not-admin': 'was issued by a node that is no admin any more. Ask an admin for a new one',
  full: `is for a cluster that has ${MAX_MEMBERS} members, the most there can be`
}

function refused (why: Refusal, { admin }: Invite, cause?: unknown): HoldfastError {
  return new HoldfastError(why === 'full' ? 'LIMIT' : 'INVALID', `This invite ${REFUSALS[why]}`, { cause, reason: `invite-${why}`, peer: admin })
}

/** What a peer that may not write any more has written so far: that stays. */
function cutoffOf (map: RecordMap, peer: PeerId): number {
  return Math.min(map.members.byPeer.get(peer)?.cutoff ?? 0, map.highestSeq(peer))
}

/** Where the member records of a peer end, so that none can be added to them later. */
function headOf (writer: RecordWriter, peer: PeerId): { head?: Uint8Array } {
  const last = writer.lastMemberRecordOf(peer)
  return last === undefined ? {} : { head: Buffer.from(last.hash, 'latin1') }
}

function requireActive (map: RecordMap, peer: PeerId): MemberState {
  const member = map.members.byPeer.get(peer)
  if (member?.isActive !== true) throw new HoldfastError('NOT_FOUND', `${peer} is not a member of this cluster`, { peer })
  return member
}

function requireLifetime (lifetimeMs: number): void {
  if (!(lifetimeMs > 0 && lifetimeMs <= INVITE_LIFETIME_MS)) throw new HoldfastError('INVALID', 'An invite is good for at most 24 hours, and for longer than nothing', { lifetimeMs })
}

function requireLabel (what: string, text: string): void {
  if (text === '' || Buffer.byteLength(text) > MAX_LABEL_BYTES || !text.isWellFormed()) throw new HoldfastError('INVALID', `${JSON.stringify(text.slice(0, 80))} cannot be the ${what}: it has 1 to ${MAX_LABEL_BYTES} bytes`)
}

function aloneWords (map: RecordMap): string {
  const count = [...map.pins()].length
  const pins = count === 0 ? 'no pins' : `${count} ${count === 1 ? 'pin' : 'pins'}`
  return `where it is alone, with ${pins}. To leave that one and join, use --leave: what this node keeps for its pins stays on this node, as pins of its own, without copies elsewhere`
}

async function runIt (forget: () => Promise<void>): Promise<void> {
  await forget()
}
