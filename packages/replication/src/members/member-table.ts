/**
 * Who is a member, computed from all member records at once: the same from the same records, whatever their order.
 *
 * Admins stand in the order of their admission, the founder first. A record counts when its signer is an admin, and, where the
 * signer was removed or given another role, when it lies in the chain of `prev` that ends at that record's `head`: who was removed cannot add to it
 * afterwards, whatever time and seq it writes. When two admins remove each other without having seen the other's removal, that of the
 * senior stands; later and backdated cannot be told from concurrent, and seniority is what nobody can forge.
 */
import type { PeerId } from '@holdfast/network'
import { compareHlc, type Hlc } from '../record/hlc.ts'
import type { GenesisRecord, MemberRecord, Role } from '../record/record.ts'

/** A member, as the record that decides says. */
export interface MemberState {
  readonly peer: PeerId
  readonly role: Role
  readonly isActive: boolean
  /** The last of its pin records that counts; `Infinity` while it may write. */
  readonly cutoff: number
  readonly zone: string | undefined
  /** The record that decides; `undefined` for a founder of whom nothing was said since. */
  readonly record: MemberRecord | undefined
}

/** What follows from a set of member records. */
export interface MemberTable {
  readonly byPeer: ReadonlyMap<PeerId, MemberState>
  /** Hashes of the records that this follows from, those included that counted until a removal was looked at. From them alone the same follows. */
  readonly support: ReadonlySet<string>
}

/** Computes the table. Records outside of its `support` change nothing, so they may be left out or not. */
export function memberTable ({ fields: { admin, createdMs } }: GenesisRecord, records: readonly MemberRecord[]): MemberTable {
  const bySigner = Map.groupBy(records, ({ writer }) => writer)
  for (const own of bySigner.values()) own.sort(bySeq)
  const byHash = new Map(records.map((record) => [record.hash, record]))
  const committed = new Map<PeerId, MemberRecord>()
  const committedHashes = new Set<string>()
  const support = new Set<string>()

  for (;;) {
    const { counting, admins } = countingRecords(admin, bySigner, byHash, committed)
    for (const { hash } of counting) support.add(hash)
    const next = nextDecision(admins, counting, committed, committedHashes)
    if (next.length === 0) return { byPeer: decisiveStates(admin, createdMs, [...counting, ...committed.values()]), support }
    for (const record of next) {
      committedHashes.add(record.hash)
      const known = committed.get(record.fields.peer)
      if (known === undefined || isLater(record, known)) committed.set(record.fields.peer, record)
    }
  }
}

/** Reports whether a member record decides over another about the same peer. */
export function isLater (a: MemberRecord, b: MemberRecord): boolean {
  const order = compareHlc(a.fields.hlc, b.fields.hlc)
    || Number(a.fields.state === 'removed') - Number(b.fields.state === 'removed')
    || compareText(a.writer, b.writer) || compareText(a.hash, b.hash)
  return order > 0
}

/** The admins in the order of their admission, and the records of theirs that count while `committed` decides who is cut off. */
function countingRecords (founder: PeerId, bySigner: ReadonlyMap<PeerId, readonly MemberRecord[]>, byHash: ReadonlyMap<string, MemberRecord>, committed: ReadonlyMap<PeerId, MemberRecord>): { counting: MemberRecord[], admins: ReadonlySet<PeerId> } {
  const counting: MemberRecord[] = []
  // A set that grows while it is walked is walked to its end.
  const admins = new Set([founder])
  for (const admin of admins) {
    const decision = committed.get(admin)
    const chain = decision === undefined || isAdmission(decision) ? undefined : chainOf(admin, decision.fields.head, byHash)
    for (const record of bySigner.get(admin) ?? []) {
      if (chain !== undefined && !chain.has(record.hash)) continue
      counting.push(record)
      if (isAdmission(record)) admins.add(record.fields.peer)
    }
  }
  return { counting, admins }
}

/** Whether it makes somebody an admin. */
function isAdmission ({ fields: { state, role } }: MemberRecord): boolean {
  return state === 'active' && role === 'admin'
}

/** Hashes of the records of one signer from `head` back to its first. */
function chainOf (signer: PeerId, head: Uint8Array | undefined, byHash: ReadonlyMap<string, MemberRecord>): Set<string> {
  const chain = new Set<string>()
  for (let at = head; at !== undefined;) {
    const record = byHash.get(Buffer.from(at).toString('latin1'))
    if (record === undefined || record.writer !== signer || chain.has(record.hash)) break
    chain.add(record.hash)
    at = record.fields.prev
  }
  return chain
}

/**
 * The next records that change which records count: those of the most senior admin that has any not yet taken in.
 *
 * They are removals of admins and other roles for them, and later admissions of who so ceased to be one. What is taken in stays, also when its signer is
 * cut off by what is taken in after it; so this comes to an end.
 */
function nextDecision (admins: ReadonlySet<PeerId>, counting: readonly MemberRecord[], committed: ReadonlyMap<PeerId, MemberRecord>, committedHashes: ReadonlySet<string>): MemberRecord[] {
  const decisions = counting.filter((record) => {
    const { peer } = record.fields
    if (!admins.has(peer) || committedHashes.has(record.hash)) return false
    const known = committed.get(peer)
    return !isAdmission(record) || known !== undefined && isLater(record, known)
  })
  const [first] = decisions
  return first === undefined ? [] : decisions.filter(({ writer }) => writer === first.writer)
}

function decisiveStates (founder: PeerId, createdMs: number, records: readonly MemberRecord[]): Map<PeerId, MemberState> {
  const decisive = new Map<PeerId, MemberRecord>()
  for (const record of records) {
    const known = decisive.get(record.fields.peer)
    if (known === undefined || isLater(record, known)) decisive.set(record.fields.peer, record)
  }
  const byPeer = new Map([...decisive].map(([peer, record]) => [peer, stateOf(record)]))
  const created: Hlc = [createdMs, 0]
  const known = decisive.get(founder)
  if (known === undefined || compareHlc(known.fields.hlc, created) < 0) {
    byPeer.set(founder, { peer: founder, role: 'admin', isActive: true, cutoff: Infinity, zone: undefined, record: undefined })
  }
  return byPeer
}

function stateOf (record: MemberRecord): MemberState {
  const { peer, role, state, cutoff = Infinity, zone } = record.fields
  return { peer, role, isActive: state === 'active', cutoff, zone, record }
}

function bySeq (a: MemberRecord, b: MemberRecord): number {
  return a.fields.seq - b.fields.seq || compareText(a.hash, b.hash)
}

function compareText (a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
