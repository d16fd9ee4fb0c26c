import { HoldfastError, type Ipld } from '@holdfast/core'
import type { JournalRecord } from '@holdfast/pins'
import { decodeEnvelope, type RecordKind } from '../record/envelope.ts'
import { parseRecord } from '../record/parse-record.ts'
import type { AnyRecord, ClusterRecord } from '../record/record.ts'

/** Kinds of journal records that are read and written here. */
export const JOURNAL_KINDS: readonly string[] = ['record', 'record-seq', 'invite', 'left']

/** A record as the journal keeps it. */
export function journalRecord ({ bytes }: { readonly bytes: Uint8Array }): JournalRecord {
  return { kind: 'record', value: bytes }
}

/** What the journal keeps of the last number that was given out. */
export function seqRecord (seq: number): JournalRecord {
  return { kind: 'record-seq', value: { seq } }
}

/** A cluster that this node left, and the number of its last record there. */
export interface LeftCluster {
  readonly cluster: Uint8Array
  readonly seq: number
}

export function leftRecord ({ cluster, seq }: LeftCluster): JournalRecord {
  return { kind: 'left', value: { cluster, seq } }
}

/** What a record of the journal is about, without reading its fields. @throws `CORRUPT` */
export function kindOf (value: Ipld): RecordKind {
  return readRecord(value, (bytes) => decodeEnvelope(bytes, { isTrusted: true })).kind
}

/** Signatures were checked before the record was kept, and the journal has checksums of its own. @throws `CORRUPT` */
export function recordOf (value: Ipld): AnyRecord {
  return readRecord(value, (bytes) => parseRecord(bytes, { isTrusted: true }))
}

/** The same, unless it is a genesis. */
export function clusterRecordsOf (value: Ipld): ClusterRecord[] {
  return [recordOf(value)].filter((record) => record.kind !== 'genesis')
}

/** @throws `CORRUPT` */
export function seqOf (value: Ipld): number {
  if (typeof value !== 'object' || value === null || !('seq' in value) || typeof value.seq !== 'number') throw new HoldfastError('CORRUPT', 'A record-seq of the journal is not of the form that is read here')
  return value.seq
}

/** @throws `CORRUPT` */
export function leftOf (value: Ipld): LeftCluster {
  if (typeof value !== 'object' || value === null || !('cluster' in value) || !(value.cluster instanceof Uint8Array) || !('seq' in value) || typeof value.seq !== 'number') throw new HoldfastError('CORRUPT', 'A left of the journal is not of the form that is read here')
  return { cluster: value.cluster, seq: value.seq }
}

function readRecord<T> (value: Ipld, read: (bytes: Uint8Array) => T): T {
  if (!(value instanceof Uint8Array)) throw new HoldfastError('CORRUPT', 'A record of the journal is not bytes')
  try {
    return read(value)
  } catch (cause) {
    throw new HoldfastError('CORRUPT', 'A record of the journal is not of a form that is read here', { cause })
  }
}
