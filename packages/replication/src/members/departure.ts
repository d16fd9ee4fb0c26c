import { type AbortOptions, HoldfastError, isErrorCode, type Logger } from '@holdfast/core'
import type { Host, PeerId, PeerStream } from '@holdfast/network'
import { ANSWER_TIMEOUT_MS, MAX_ADMINS_ASKED } from '../limits.ts'
import type { RecordMap } from '../map/record-map.ts'
import type { RecordStore } from '../store/record-store.ts'
import { answerLeave, LEAVE_PROTOCOL, type LeaveRefusal, readLeave, sendLeave } from './leave-protocol.ts'
import type { Forgetting, Membership } from './membership.ts'
import { whenAborted } from './when-aborted.ts'

export interface DepartureDeps {
  readonly self: PeerId
  readonly host: Host
  readonly store: RecordStore
  readonly membership: Membership
  readonly log: Logger
}

export interface LeaveOptions extends AbortOptions, Forgetting {
  /** Leaves also when no admin can be told, and when nobody is left who could admit others. @default false */
  readonly force?: boolean | undefined
}

/** Lets members go: this node, and those that ask this node when it is an admin. */
export class Departure implements AsyncDisposable {
  readonly #deps: DepartureDeps
  #handler: AsyncDisposable | undefined

  constructor (deps: DepartureDeps) {
    this.#deps = deps
  }

  async open (): Promise<void> {
    this.#handler = await this.#deps.host.handle([LEAVE_PROTOCOL], async (stream) => { await this.#letGo(stream) }, { maxInboundStreams: 2 })
  }

  async [Symbol.asyncDispose] (): Promise<void> {
    await this.#handler?.[Symbol.asyncDispose]()
  }

  /**
   * Leaves the cluster, and forgets it, durably. An admin signs the removal, so that all others know.
   *
   * @throws `INVALID` when this node is in none, or is its last admin; `UNAVAILABLE` when no admin can be reached.
   */
  async leave ({ signal, force = false, forgetting }: LeaveOptions): Promise<void> {
    const map = this.#deps.store.cluster?.map
    if (map === undefined) throw new HoldfastError('INVALID', 'This node is in no cluster', { reason: 'no-cluster' })
    const others = othersIn(map, this.#deps.self)
    if (others.length > 0 && map.members.byPeer.get(this.#deps.self)?.isActive === true) {
      const admins = others.filter(({ role }) => role === 'admin').map(({ peer }) => peer)
      await this.#tellAdmins(map, admins, signal).catch((err: unknown) => {
        signal?.throwIfAborted()
        if (!force) throw err
        this.#deps.log.warn('This node leaves its cluster without the word of an admin', { err })
      })
    }
    await this.#deps.membership.forget(map, { forgetting })
  }

  /** Asks one admin after the other until one signed the removal. */
  async #tellAdmins (map: RecordMap, admins: readonly PeerId[], signal: AbortSignal | undefined): Promise<void> {
    const { host, self } = this.#deps
    const name = JSON.stringify(map.genesis.fields.name)
    if (admins.length === 0) throw new HoldfastError('INVALID', `This node is the last admin of ${name}, which has other members: make another member an admin first, with holdfast member role, or leave with --force`, { peer: self, reason: 'last-admin' })
    const causes: unknown[] = []
    for (const admin of admins.toSorted((a, b) => Number(host.isConnected(b)) - Number(host.isConnected(a))).slice(0, MAX_ADMINS_ASKED)) {
      signal?.throwIfAborted()
      try {
        const why = await this.#tell(map, admin, signal)
        if (why === undefined) return
        causes.push(new HoldfastError('UNAVAILABLE', `${admin} does not sign it: ${why}`, { peer: admin }))
      } catch (err) {
        causes.push(err)
      }
    }
    throw new HoldfastError('UNAVAILABLE', `No admin of ${name} can be told that this node leaves. Try again when one runs, or leave with --force and have an admin run holdfast member rm ${self}`, { cause: new AggregateError(causes), reason: 'no-admin' })
  }

  async #tell (map: RecordMap, admin: PeerId, signal: AbortSignal | undefined): Promise<LeaveRefusal | undefined> {
    const { host } = this.#deps
    const signals = [AbortSignal.timeout(ANSWER_TIMEOUT_MS), ...signal === undefined ? [] : [signal]]
    await host.addKnownAddresses(admin, map.profile(admin)?.fields.addresses ?? [])
    await using stream = await host.openStream(admin, [LEAVE_PROTOCOL], { signal: AbortSignal.any(signals) })
    using _ = whenAborted(signals, () => { stream.abort(new HoldfastError('UNAVAILABLE', 'Leaving took too long')) })
    return await sendLeave(stream, map.cluster)
  }

  async #letGo (stream: PeerStream): Promise<void> {
    using _ = whenAborted([AbortSignal.timeout(ANSWER_TIMEOUT_MS)], () => { stream.abort(new HoldfastError('UNAVAILABLE', 'Leaving took too long')) })
    const cluster = await readLeave(stream)
    await answerLeave(stream, await this.#answerTo(stream.peer, cluster))
  }

  /** Who is no member, or no more, has what it asks for: the answer before may have been lost. */
  async #answerTo (peer: PeerId, cluster: Uint8Array): Promise<LeaveRefusal | undefined> {
    const { store, membership, log } = this.#deps
    const map = store.cluster?.map
    if (map === undefined || Buffer.compare(map.cluster, cluster) !== 0) return 'other-cluster'
    if (map.members.byPeer.get(peer)?.isActive !== true) return undefined
    try {
      await membership.remove(peer)
      log.info('A member left', { peer })
      return undefined
    } catch (err) {
      if (isErrorCode(err, 'NOT_FOUND')) return undefined
      log.info('A member could not be let go', { peer, err })
      return isErrorCode(err, 'INVALID') ? 'not-admin' : 'failed'
    }
  }
}

function othersIn (map: RecordMap, self: PeerId): Array<{ readonly peer: PeerId, readonly role: string }> {
  return [...map.members.byPeer.values()].filter(({ peer, isActive }) => isActive && peer !== self)
}
