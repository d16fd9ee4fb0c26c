import { isErrorCode } from '@holdfast/core'
import fc from 'fast-check'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { newIdentities } from '../../test/identities.ts'
import { cidOf, merge, recordsOf, Replica, shown } from '../../test/replica.ts'
import { MAX_CLOCK_LEAD_MS, MAX_WAITING_RECORDS } from '../limits.ts'
import type { ClusterRecord } from '../record/record.ts'
import { signGenesis, signPin } from '../record/sign-record.ts'
import { RecordMap } from './record-map.ts'
import { forgottenIn, pinKeyOf, pinRecordOf } from './stored-record.ts'

const identities = await newIdentities(4)
const [founder, alice, bob, carol] = identities
assert.ok(founder !== undefined && alice !== undefined && bob !== undefined && carol !== undefined)

const NOW_MS = 1_800_000_000_000
const genesis = signGenesis(founder, { name: 'ours', nonce: new Uint8Array(16), createdMs: NOW_MS })
const now = (): number => NOW_MS

/** Three members who know each other. */
function newReplicas (): [Replica, Replica, Replica] {
  const replicas: [Replica, Replica, Replica] = [new Replica(founder ?? fail(), genesis, { now }), new Replica(alice ?? fail(), genesis, { now }), new Replica(bob ?? fail(), genesis, { now })]
  const [f, a, b] = replicas
  for (const { identity } of [a, b]) f.write(f.writer.member({ peer: identity.peerId, role: 'member', state: 'active' }))
  for (const replica of [a, b]) replica.learn(recordsOf(f.map))
  return replicas
}

function fail (): never {
  throw new Error('There are four identities')
}

interface Step { readonly who: number, readonly action: 'put' | 'update' | 'del' | 'hold' | 'profile' | 'forget' | 'sync', readonly which: number, readonly to: number }

const step: fc.Arbitrary<Step> = fc.record({
  who: fc.nat(2), action: fc.constantFrom('put', 'update', 'update', 'del', 'hold', 'profile', 'sync', 'sync', 'put', 'update', 'forget'), which: fc.nat(4), to: fc.nat(2)
})

/** Three members that put, update and delete a few pins while only some of it reaches the others. */
function play (steps: readonly Step[]): { replicas: [Replica, Replica, Replica], records: ClusterRecord[] } {
  const replicas = newReplicas()
  const records = recordsOf(replicas[0].map)
  for (const { who, action, which, to } of steps) {
    const replica = replicas[who] ?? fail()
    const pinId = new Uint8Array(16).fill(which)
    const isThere = replica.map.pin(Buffer.from(pinId).toString('latin1')) !== undefined
    if (action === 'sync') replica.learn(recordsOf((replicas[to] ?? fail()).map))
    else if (action === 'hold') records.push(replica.hold(which, records.length))
    else if (action === 'profile') records.push(replica.write(replica.writer.profile({ zone: `zone ${which}`, capacityBytes: 1, version: '1', addresses: [] })))
    else if (action === 'forget') records.push(replica.forget([pinId, new Uint8Array(16).fill(9)]))
    else if (isForgotten(replica, pinId)) continue
    else if (action === 'put' || isThere) records.push(replica.put({ pinId, op: action === 'del' ? 'del' : 'put', name: `${records.length}` }))
  }
  return { replicas, records }
}

/** Nobody changes a pin again that is forgotten where it is. */
function isForgotten ({ map }: Replica, pinId: Uint8Array): boolean {
  const key = Buffer.from(pinId).toString('latin1')
  return [...map.records()].some((record) => record.kind === 'forget' && forgottenIn(record).includes(key))
}

test('members that saw the same records hold the same, in any order, with any repetition, after any part of them first', () => {
  const scenario = fc.array(step, { maxLength: 40 }).map(play).chain(({ replicas, records }) => fc.tuple(
    fc.constant(replicas), fc.constant(records), fc.shuffledSubarray(records), fc.shuffledSubarray([...records, ...records], { minLength: records.length * 2 })
  ))
  let siblingCount = 0
  fc.assert(fc.property(scenario, ([replicas, records, part, all]) => {
    const map = new RecordMap(genesis, { now })
    for (const record of part) merge(map, [record])
    merge(map, all)
    const whole = new RecordMap(genesis, { now })
    merge(whole, records)
    assert.deepEqual(shown(map), shown(whole))

    // The members exchange what they hold, without what was replaced.
    for (const from of replicas) for (const to of replicas) to.learn(recordsOf(from.map))
    replicas[0].learn(recordsOf(replicas[2].map))
    for (const { map } of replicas) assert.deepEqual(shown(map), shown(whole))
    siblingCount += whole.counts.records - whole.counts.pins
  }), { numRuns: 150 })
  assert.ok(siblingCount > 150, 'some members wrote without having seen the other')
})

test('a delete erases only the puts that it has seen: a concurrent put wins', () => {
  const [f, a] = newReplicas()
  const pinId = new Uint8Array(16).fill(1)
  const key = Buffer.from(pinId).toString('latin1')
  f.put({ pinId, name: 'first' })
  a.learn(recordsOf(f.map))
  const update = a.put({ pinId, name: 'second' })
  const del = f.put({ pinId, op: 'del' })
  assert.equal(f.map.pin(key), undefined)
  f.learn([update])
  a.learn([del])
  for (const { map } of [f, a]) {
    const pin = map.pin(key)
    assert.ok(pin !== undefined)
    assert.equal(pinRecordOf(pin).fields.name, 'second')
  }
  a.put({ pinId, op: 'del' })
  f.learn(recordsOf(a.map))
  assert.equal(f.map.pin(key), undefined)
  assert.equal(f.root, a.root)
})

test('a removal takes effect on what was written after it, whenever that came', () => {
  fc.assert(fc.property(fc.nat(5), fc.nat(5), fc.infiniteStream(fc.nat()), (before, after, order) => {
    const [f, a] = newReplicas()
    const early = Array.from({ length: before }, (_, index) => a.put({ pinId: new Uint8Array(16).fill(index) }))
    f.learn(early)
    const removal = f.write(f.writer.member({ peer: a.identity.peerId, role: 'member', state: 'removed', cutoff: f.map.highestSeq(a.identity.peerId) }))
    // The removed member goes on: it deletes a pin, and puts others.
    const late = Array.from({ length: after }, (_, index) => a.put({ pinId: new Uint8Array(16).fill(index), op: index === 0 ? 'del' : 'put' }))
    const admissions = recordsOf(f.map).filter(({ kind }) => kind === 'member')

    const shuffled = [...admissions, removal, ...early, ...late].map((record) => ({ record, at: order.next().value ?? 0 })).toSorted((x, y) => x.at - y.at).map(({ record }) => record)
    const map = new RecordMap(genesis, { now })
    for (const record of shuffled) merge(map, [record])
    // What the late records had replaced comes back from a member that has it.
    merge(map, recordsOf(f.map))
    assert.deepEqual(shown(map), shown(f.map))
    assert.equal(map.counts.pins, before)
  }), { numRuns: 100 })
})

test('while somebody is being removed its records wait, and those it wrote before stay', () => {
  const [f, a] = newReplicas()
  const pinId = new Uint8Array(16)
  f.learn([a.put({ pinId: new Uint8Array(16).fill(1) })])
  f.put({ pinId })
  a.learn(recordsOf(f.map))
  const del = a.put({ pinId, op: 'del' })
  {
    using _ = f.map.suspend(a.identity.peerId)
    f.map.apply([del])
    f.learn([del])
    f.write(f.writer.member({ peer: a.identity.peerId, role: 'member', state: 'removed', cutoff: f.map.highestSeq(a.identity.peerId) }))
  }
  merge(f.map, f.map.takeDue())
  assert.equal([...f.map.pins()].length, 2)
})

test('copies of a removed member are not counted any more, and are again once it is admitted again', () => {
  const [f, a] = newReplicas()
  f.learn([a.hold(1, 10)])
  const holders = (): string[] => [...f.map.holds(pinKeyOf(cidOf(1), 'recursive'))].map(({ writer }) => writer)
  assert.deepEqual(holders(), [a.identity.peerId])
  f.write(f.writer.member({ peer: a.identity.peerId, role: 'member', state: 'removed', cutoff: 1 }))
  assert.deepEqual(holders(), [])
  f.write(f.writer.member({ peer: a.identity.peerId, role: 'member', state: 'active' }))
  assert.deepEqual(holders(), [a.identity.peerId])
})

test('a record of somebody unknown waits until the admission comes', () => {
  const f = new Replica(founder, genesis, { now })
  const c = new Replica(carol, genesis, { now })
  const admission = f.write(f.writer.member({ peer: carol.peerId, role: 'member', state: 'active' }))
  c.learn([admission])
  const put = c.put()
  const map = new RecordMap(genesis, { now })
  merge(map, [put])
  assert.deepEqual({ ...map.counts }, { records: 0, pins: 0, forgotten: 0, holds: 0, waiting: 1, equivocations: 0 })
  merge(map, [admission])
  assert.equal(map.counts.pins, 1)
})

test('what a reader writes does not count, but its copies do', () => {
  const f = new Replica(founder, genesis, { now })
  const c = new Replica(carol, genesis, { now })
  const admission = f.write(f.writer.member({ peer: carol.peerId, role: 'reader', state: 'active', cutoff: 0 }))
  c.learn([admission])
  f.learn([c.put(), c.hold(1, 1)])
  assert.equal(f.map.counts.pins, 0)
  assert.equal(f.map.counts.holds, 1)
})

test('a member whose clock is a day ahead changes nothing until the time has come', () => {
  let nowMs = NOW_MS
  const [f] = newReplicas()
  const map = new RecordMap(genesis, { now: () => nowMs })
  const ahead = new Replica(alice, genesis, { now: () => NOW_MS + 86_400_000 })
  ahead.learn(recordsOf(f.map))
  const put = ahead.put()
  merge(map, [...recordsOf(f.map), put])
  assert.equal(map.counts.pins, 0)
  nowMs = NOW_MS + 86_400_000 - MAX_CLOCK_LEAD_MS
  merge(map, map.takeDue())
  assert.equal(map.counts.pins, 1)
})

test('a node whose clock went back does not pretend to change a pin', () => {
  let nowMs = NOW_MS
  const f = new Replica(founder, genesis, { now: () => nowMs })
  f.put({ pinId: new Uint8Array(16) })
  nowMs -= 86_400_000
  assert.throws(() => f.put({ pinId: new Uint8Array(16), op: 'del' }), (err) => isErrorCode(err, 'UNAVAILABLE') && err.details['reason'] === 'clock')
  f.put({ pinId: new Uint8Array(16).fill(1) })
})

test('records that wait are bounded', () => {
  const map = new RecordMap(genesis, { now })
  const stranger = new Replica(carol, genesis, { now })
  for (let index = 0; index < MAX_WAITING_RECORDS + 100; index++) merge(map, [stranger.writer.pin({ pinId: new Uint8Array(16), op: 'put', cid: cidOf(0), mode: 'recursive', copies: { min: 1, max: 1 }, origin: carol.peerId, createdMs: 1 })])
  assert.equal(map.counts.waiting, MAX_WAITING_RECORDS)
})

test('of two records with the same number one is kept, the same everywhere, and it is noted', () => {
  const [f] = newReplicas()
  const pinId = new Uint8Array(16)
  const forked = ['one', 'two'].map((name) => signPin(alice, { cluster: f.map.cluster, pinId, op: 'put', cid: cidOf(0), mode: 'recursive', copies: { min: 1, max: 1 }, origin: alice.peerId, createdMs: 1, hlc: [NOW_MS, 0], seq: 5, context: new Map(), name }))
  const maps = [forked, forked.toReversed()].map((records) => {
    const map = new RecordMap(genesis, { now })
    merge(map, recordsOf(f.map))
    for (const record of records) merge(map, [record])
    return map
  })
  assert.deepEqual(maps.map(shown), [shown(maps[0] ?? f.map), shown(maps[0] ?? f.map)])
  assert.deepEqual(maps.map(({ counts }) => counts.equivocations), [1, 1])
})

test('records that claim to replace each other do not', () => {
  const [f] = newReplicas()
  const pinId = new Uint8Array(16)
  const forged = [alice, bob].map((identity, index) => signPin(identity, { cluster: f.map.cluster, pinId, op: index === 0 ? 'put' : 'del', cid: cidOf(0), mode: 'recursive', copies: { min: 1, max: 1 }, origin: identity.peerId, createdMs: 1, hlc: [NOW_MS, index], seq: 1, context: new Map([[alice.peerId, 99], [bob.peerId, 99]]) }))
  const roots = [forged, forged.toReversed()].map((records) => {
    const map = new RecordMap(genesis, { now })
    merge(map, recordsOf(f.map))
    for (const record of records) merge(map, [record])
    return Buffer.from(map.tree.root()).toString('hex')
  })
  assert.equal(roots[0], roots[1])
})

test('a pin beyond the limit is not taken, and one that is there may still be changed', () => {
  const f = new Replica(founder, genesis, { now, maxPins: 2 })
  for (let index = 0; index < 3; index++) f.put({ pinId: new Uint8Array(16).fill(index) })
  assert.equal(f.map.counts.pins, 2)
  f.put({ pinId: new Uint8Array(16), name: 'changed' })
  assert.equal(pinRecordOf(f.map.pin('\0'.repeat(16)) ?? fail()).fields.name, 'changed')
})

test('records of another cluster are not taken', () => {
  const other = new Replica(founder, signGenesis(founder, { name: 'theirs', nonce: new Uint8Array(16), createdMs: NOW_MS }), { now })
  const map = new RecordMap(genesis, { now })
  merge(map, [other.put()])
  assert.deepEqual({ ...map.counts }, { records: 0, pins: 0, forgotten: 0, holds: 0, waiting: 0, equivocations: 0 })
})

test('nothing brings a forgotten pin back, whatever its date, in any order; a record that does not count any more has forgotten nothing', () => {
  fc.assert(fc.property(fc.infiniteStream(fc.nat()), fc.boolean(), (order, isRemoved) => {
    const [f, a, b] = newReplicas()
    const ids = [1, 2].map((fill) => new Uint8Array(16).fill(fill))
    const put = ids.map((pinId) => f.put({ pinId }))
    b.learn(recordsOf(f.map))
    // One was changed by somebody who had not heard of the end of it.
    const late = ids.map((pinId) => b.put({ pinId, name: 'later' }))
    const del = ids.map((pinId) => f.put({ pinId, op: 'del' }))
    a.learn(recordsOf(f.map))
    const cutoff = f.map.highestSeq(a.identity.peerId)
    const forget = a.forget(ids.slice(0, 1))
    const admissions = recordsOf(f.map).filter(({ kind }) => kind === 'member')
    const removal = isRemoved ? [f.write(f.writer.member({ peer: a.identity.peerId, role: 'member', state: 'removed', cutoff }))] : []
    const shuffled = [...put, ...late, ...del, forget, ...admissions, ...removal].map((record) => ({ record, at: order.next().value ?? 0 })).toSorted((x, y) => x.at - y.at).map(({ record }) => record)
    const map = new RecordMap(genesis, { now })
    for (const record of shuffled) merge(map, [record])
    // What was taken in before the removal came, comes back from a member that has it.
    merge(map, [...late, ...del])
    const names = ids.map((pinId) => map.pin(Buffer.from(pinId).toString('latin1'))).map((pin) => pin === undefined ? undefined : pinRecordOf(pin).fields.name)
    assert.deepEqual(names, [isRemoved ? 'later' : undefined, 'later'])
    assert.equal(map.counts.forgotten, isRemoved ? 0 : 1)
  }), { numRuns: 60 })
})
