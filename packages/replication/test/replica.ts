import type { Identity } from '@holdfast/network'
import { CID } from 'multiformats/cid'
import { create as createDigest } from 'multiformats/hashes/digest'
import { createHash, randomBytes } from 'node:crypto'
import { RecordMap, type RecordMapOptions } from '../src/map/record-map.ts'
import { type PinContent, RecordWriter } from '../src/map/record-writer.ts'
import { envelopeOf, type StoredPin } from '../src/map/stored-record.ts'
import { parseRecord } from '../src/record/parse-record.ts'
import { type ClusterRecord, type GenesisRecord, pinKeyBytes } from '../src/record/record.ts'

/** A map with the writer of one identity, and no disk or network. */
export class Replica {
  readonly map: RecordMap
  readonly writer: RecordWriter
  readonly identity: Identity

  constructor (identity: Identity, genesis: GenesisRecord, options: RecordMapOptions = {}) {
    this.identity = identity
    this.map = new RecordMap(genesis, options)
    this.writer = new RecordWriter({ identity, map: this.map, now: options.now ?? Date.now })
  }

  get root (): string {
    return Buffer.from(this.map.tree.root()).toString('hex')
  }

  put (content: Partial<PinContent> = {}): ClusterRecord {
    return this.write(this.writer.pin({ pinId: randomBytes(16), op: 'put', cid: cidOf(0), mode: 'recursive', copies: { min: 1, max: 2 }, origin: this.identity.peerId, createdMs: 1, ...content }))
  }

  forget (pinIds: readonly Uint8Array[]): ClusterRecord {
    return this.write(this.writer.forget(pinIds))
  }

  hold (seed: number, bytes: number): ClusterRecord {
    return this.write(this.writer.hold({ pinKey: pinKeyBytes(cidOf(seed), 'recursive'), state: 'complete', bytes }))
  }

  write (record: ClusterRecord): ClusterRecord {
    merge(this.map, [record])
    return record
  }

  /** Takes in records, as from a peer. */
  learn (records: readonly ClusterRecord[]): void {
    for (const record of records) if ('hlc' in record.fields) this.writer.clock.observe(record.fields.hlc)
    merge(this.map, records)
  }
}

/** Screens and applies until nothing changes, as the store does with a journal in between. */
export function merge (map: RecordMap, records: readonly ClusterRecord[]): void {
  for (let next = records; next.length > 0;) next = map.apply(map.screen(next)).retry
}

/** All that a map holds, to be sent to another. */
export function recordsOf (map: RecordMap): ClusterRecord[] {
  return [...map.records()].map((stored) => parseRecord(envelopeOf(stored))).filter((record) => record.kind !== 'genesis')
}

/** What a map shows. */
export function shown (map: RecordMap): unknown {
  return {
    root: Buffer.from(map.tree.root()).toString('hex'),
    pins: [...map.pins()].map((pin: StoredPin) => `${pin.pinId} ${pin.hash}`).toSorted(),
    members: [...map.members.byPeer.values()].map(({ peer, isActive, role }) => `${peer} ${role} ${isActive}`).toSorted()
  }
}

export function cidOf (seed: number): CID {
  return CID.createV1(0x55, createDigest(0x12, createHash('sha256').update(String(seed)).digest()))
}
