import { HoldfastError, isErrorCode } from '@holdfast/core'
import { setImmediate } from 'node:timers/promises'
import { RECORDS_PER_SLICE } from '../limits.ts'
import type { RecordMap } from '../map/record-map.ts'
import { decodeEnvelope, hashOf, isSigned } from '../record/envelope.ts'
import { parseEnvelope } from '../record/parse-record.ts'
import type { ClusterRecord } from '../record/record.ts'

/**
 * Reads the records that a member sent, without those that are known, with all signatures checked.
 *
 * Records of a newer version are passed over. The event loop gets its turns.
 *
 * @throws `INVALID` or `LIMIT` for what no honest member sends.
 */
export async function verifiedRecords (map: RecordMap, received: readonly Uint8Array[]): Promise<ClusterRecord[]> {
  const records: ClusterRecord[] = []
  let sliceCount = 0
  for (const bytes of received) {
    if (map.knows(hashOf(bytes))) continue
    const record = verifiedRecord(bytes)
    if (record !== undefined) records.push(record)
    if (++sliceCount % RECORDS_PER_SLICE === 0) await setImmediate()
  }
  return records
}

function verifiedRecord (bytes: Uint8Array): ClusterRecord | undefined {
  try {
    const envelope = decodeEnvelope(bytes)
    const record = parseEnvelope(envelope)
    if (record.kind === 'genesis') throw new HoldfastError('INVALID', 'A genesis was sent as a record')
    if (!isSigned(envelope)) throw new HoldfastError('INVALID', `A ${record.kind} record does not have the signature of its writer`, { peer: record.writer })
    return record
  } catch (err) {
    if (isErrorCode(err, 'UNSUPPORTED')) return undefined
    throw err
  }
}
