import { HoldfastError } from '@holdfast/core'
import type { Identity } from '@holdfast/network'
import type { ForgetRecord, HoldFields, HoldRecord, MemberFields, MemberRecord, PinFields, PinRecord, ProfileFields, ProfileRecord } from '../record/record.ts'
import { signForget, signHold, signMember, signPin, signProfile } from '../record/sign-record.ts'
import { compareHlc, HlcClock } from '../record/hlc.ts'
import type { RecordMap } from './record-map.ts'

export interface RecordWriterDeps {
  readonly identity: Identity
  readonly map: RecordMap
  readonly now: () => number
}

/** What a pin record says, without what the writer adds. */
export type PinContent = Omit<PinFields, 'cluster' | 'hlc' | 'seq' | 'context'>

/** Signs the records of this node, each with the next number and time. */
export class RecordWriter {
  readonly clock: HlcClock
  readonly #identity: Identity
  readonly #map: RecordMap
  #seq = 0

  constructor ({ identity, map, now }: RecordWriterDeps) {
    this.#identity = identity
    this.#map = map
    this.clock = new HlcClock(now)
  }

  /** The last number that was given out, or seen in a record of this node. */
  get seq (): number {
    return Math.max(this.#seq, this.#map.highestSeq(this.#identity.peerId))
  }

  /** Goes on behind a number that was given out before. */
  raiseSeq (seq: number): void {
    this.#seq = Math.max(this.#seq, seq)
  }

  /**
   * Signs a record that replaces all that is held of this pin.
   *
   * @throws `UNAVAILABLE` when the clock of this node is behind what is held, so that nobody would take it for later.
   */
  pin (content: PinContent): PinRecord {
    const pinId = Buffer.from(content.pinId).toString('latin1')
    const hlc = this.clock.next()
    const latest = this.#map.latestTimeOf(pinId)
    if (latest !== undefined && compareHlc(latest, hlc) >= 0) {
      throw new HoldfastError('UNAVAILABLE', `Cannot change a pin of ${new Date(latest[0]).toISOString()} at ${new Date(hlc[0]).toISOString()}: the clock of this node is wrong. Set it right and try again`, { reason: 'clock' })
    }
    return signPin(this.#identity, { ...content, cluster: this.#map.cluster, hlc, seq: this.#nextSeq(), context: this.#map.contextOf(pinId) })
  }

  /** Signs a member record that follows the last one of this node. To be called for one at a time: the next names this one. */
  member (fields: Omit<MemberFields, 'cluster' | 'hlc' | 'seq' | 'prev'>): MemberRecord {
    const last = this.lastMemberRecordOf(this.#identity.peerId)
    const prev = last === undefined ? {} : { prev: Buffer.from(last.hash, 'latin1') }
    return signMember(this.#identity, { ...fields, ...prev, cluster: this.#map.cluster, hlc: this.clock.next(), seq: this.#nextSeq() })
  }

  profile (fields: Omit<ProfileFields, 'cluster' | 'seq'>): ProfileRecord {
    return signProfile(this.#identity, { ...fields, cluster: this.#map.cluster, seq: this.#nextSeq() })
  }

  hold (fields: Omit<HoldFields, 'cluster' | 'hlc' | 'seq'>): HoldRecord {
    return signHold(this.#identity, { ...fields, cluster: this.#map.cluster, hlc: this.clock.next(), seq: this.#nextSeq() })
  }

  /** Signs that pins are forgotten for good; at most `MAX_FORGOTTEN_PER_RECORD`. */
  forget (pinIds: readonly Uint8Array[]): ForgetRecord {
    return signForget(this.#identity, { pinIds, cluster: this.#map.cluster, hlc: this.clock.next(), seq: this.#nextSeq() })
  }

  /** The end of the chain of a signer's member records, as far as it is known here. */
  lastMemberRecordOf (peer: string): MemberRecord | undefined {
    return this.#map.memberRecords.filter(({ writer }) => writer === peer).reduce<MemberRecord | undefined>((last, record) => last === undefined || record.fields.seq > last.fields.seq ? record : last, undefined)
  }

  #nextSeq (): number {
    this.#seq = this.seq + 1
    return this.#seq
  }
}
