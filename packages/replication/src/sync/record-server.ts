import { HoldfastError } from '@holdfast/core'
import { setTimeout } from 'node:timers/promises'
import { MAX_BATCH_BYTES, MAX_LISTED_BYTES } from '../limits.ts'
import { NODE_HASH_BYTES } from '../map/merkle-tree.ts'
import type { RecordMap } from '../map/record-map.ts'
import { envelopeOf } from '../map/stored-record.ts'
import type { Answer, Request } from './messages.ts'
import type { TokenBucket } from './token-bucket.ts'

type Question = Extract<Request, { t: 'nodes' | 'list' | 'get' }>

/** Answers what a member asks about the records, as slowly as its bucket says. The work of one answer is bounded by the message. */
export async function answerQuestion (map: RecordMap, question: Question, bucket: TokenBucket): Promise<Answer> {
  const waitMs = bucket.takeLater()
  if (waitMs > 0) await setTimeout(waitMs, undefined, { ref: false })
  switch (question.t) {
    case 'nodes': return { t: 'nodes', hashes: Buffer.concat(question.of.map((index) => map.tree.children(question.level, index))) }
    case 'list': return listOf(map, question)
    case 'get': return { t: 'records', records: recordsFor(map, question.hashes) }
  }
}

/** Lists buckets until the answer is full; a bucket that is cut goes on behind the last hash that was listed. */
function listOf (map: RecordMap, { of, after }: Extract<Question, { t: 'list' }>): Answer {
  const lists: string[][] = []
  let room = MAX_LISTED_BYTES / NODE_HASH_BYTES
  for (const [index, bucket] of of.entries()) {
    const hashes = map.tree.list(bucket)
    const from = index === 0 && after !== '' ? hashes.findIndex((hash) => hash > after) : 0
    const rest = from === -1 ? [] : hashes.slice(from, from + room + 1)
    lists.push(rest.slice(0, room))
    if (rest.length > room) return { t: 'list', lists, isCut: true }
    room -= rest.length
  }
  return { t: 'list', lists, isCut: false }
}

/** As many of the records as fit. What is not held any more is left out. */
function recordsFor (map: RecordMap, hashes: readonly string[]): Uint8Array[] {
  const records: Uint8Array[] = []
  let byteLength = 0
  for (const hash of hashes) {
    const record = map.get(hash)
    if (record === undefined) continue
    byteLength += record.bytes.length
    if (byteLength > MAX_BATCH_BYTES) break
    records.push(envelopeOf(record))
  }
  return records
}

/** @throws `INVALID` for a question that comes before hello, or a second hello. */
export function requireQuestion (request: Request): Exclude<Request, { t: 'hello' }> {
  if (request.t === 'hello') throw new HoldfastError('INVALID', 'A peer said hello twice')
  return request
}
