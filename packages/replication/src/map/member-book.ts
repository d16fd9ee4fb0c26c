import type { PeerId } from '@holdfast/network'
import { MAX_MEMBER_RECORDS } from '../limits.ts'
import { type MemberTable, memberTable } from '../members/member-table.ts'
import type { RecordKind } from '../record/envelope.ts'
import type { GenesisRecord, MemberRecord } from '../record/record.ts'
import { storedMember, type StoredMember } from './stored-record.ts'

/** What a change of the member records came to. */
export interface MembersChange {
  readonly added: readonly StoredMember[]
  /** Somebody may do less than before. */
  readonly isStricter: boolean
}

/** The member records, and who may write what by them. */
export class MemberBook {
  readonly #genesis: GenesisRecord
  readonly #byHash = new Map<string, StoredMember>()
  #table: MemberTable

  constructor (genesis: GenesisRecord) {
    this.#genesis = genesis
    this.#table = memberTable(genesis, [])
  }

  get table (): MemberTable {
    return this.#table
  }

  get count (): number {
    return this.#byHash.size
  }

  get records (): MemberRecord[] {
    return [...this.#byHash.values()].map(({ record }) => record)
  }

  list (): Iterable<StoredMember> {
    return this.#byHash.values()
  }

  /** What would follow from these records, too. */
  tableWith (more: readonly MemberRecord[]): MemberTable {
    const fresh = more.filter(({ hash }) => !this.#byHash.has(hash))
    return fresh.length === 0 ? this.#table : memberTable(this.#genesis, [...this.records, ...fresh])
  }

  /** Removals have room that admissions do not get, so that nobody who fills it cannot be removed. */
  hasRoomFor ({ fields: { state } }: MemberRecord): boolean {
    return this.#byHash.size < (state === 'removed' ? 2 * MAX_MEMBER_RECORDS : MAX_MEMBER_RECORDS)
  }

  /** Takes in records; `undefined` when all of them were known. */
  put (records: readonly MemberRecord[]): MembersChange | undefined {
    const added = records.filter(({ hash }) => !this.#byHash.has(hash)).map(storedMember)
    if (added.length === 0) return undefined
    for (const stored of added) this.#byHash.set(stored.hash, stored)
    const before = this.#table
    this.#table = memberTable(this.#genesis, this.records)
    return { added, isStricter: isStricter(this.#table, before) }
  }

  /** Whether a record counts by what is known of its writer. */
  hasRight (kind: RecordKind, writer: PeerId, seq: number): boolean {
    const member = this.#table.byPeer.get(writer)
    return member !== undefined && (kind === 'pin' || kind === 'forget' ? seq <= member.cutoff : member.isActive)
  }
}

/** Whether somebody may do less than before. */
function isStricter (table: MemberTable, before: MemberTable): boolean {
  return [...before.byPeer.values()].some(({ peer, isActive, cutoff }) => {
    const now = table.byPeer.get(peer)
    return now === undefined || isActive && !now.isActive || now.cutoff < cutoff
  })
}
