import type { PeerId } from '@holdfast/network'
import { MAX_PROOF_RECORDS } from '../limits.ts'
import type { RecordMap } from '../map/record-map.ts'
import type { ClusterRecord, MemberRecord } from '../record/record.ts'
import { memberTable } from './member-table.ts'

/** The record that decides about a peer, with those that made its signer an admin, up to the founder. */
export function proofOf (map: RecordMap, peer: PeerId): MemberRecord[] {
  const proof: MemberRecord[] = []
  for (let at: PeerId | undefined = peer; at !== undefined && proof.length < MAX_PROOF_RECORDS;) {
    const record: MemberRecord | undefined = map.members.byPeer.get(at)?.record
    if (record === undefined || proof.includes(record)) break
    proof.push(record)
    at = record.writer
  }
  return proof
}

/** Reports whether the peer would be an active member if these records, whose signatures were checked, were known. */
export function provesMembership (map: RecordMap, peer: PeerId, records: readonly ClusterRecord[]): boolean {
  const proof = records.filter((record) => record.kind === 'member').filter(({ fields: { cluster } }) => Buffer.compare(cluster, map.cluster) === 0)
  return memberTable(map.genesis, [...map.memberRecords, ...proof]).byPeer.get(peer)?.isActive === true
}
