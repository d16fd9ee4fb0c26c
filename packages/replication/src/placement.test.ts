import fc from 'fast-check'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { placeCopies, type PlacementMember, RANK_SLACK } from './placement.ts'

function membersOf (count: number, zoneCount = 1, seed = 0): PlacementMember[] {
  return Array.from({ length: count }, (_, index) => ({ peer: `peer ${seed} ${index}`, zone: `zone ${index % zoneCount}`, weight: 1, isFull: false, state: 'active' }))
}

const PIN_COUNT = 3000
const PIN_KEYS = Array.from({ length: PIN_COUNT }, (_, index) => `pin ${index}`)

/** Copies that lie elsewhere after a change, as a part of all. */
function moved (before: readonly PlacementMember[], after: readonly PlacementMember[], copies: number, areSticky: boolean): number {
  let movedCount = 0
  let copyCount = 0
  for (const pinKey of PIN_KEYS) {
    const old = placeCopies({ pinKey, copies }, before)
    const now = placeCopies({ pinKey, copies, ...areSticky && { holders: new Set(old) } }, after)
    movedCount += now.filter((peer) => !old.includes(peer)).length
    copyCount += now.length
  }
  return movedCount / copyCount
}

test('adding or removing one of n members moves at most 1.2/n of the copies', () => {
  const scenario = fc.record({ count: fc.integer({ min: 5, max: 20 }), copies: fc.integer({ min: 1, max: 3 }), seed: fc.nat(), which: fc.nat(), areSticky: fc.boolean() })
  fc.assert(fc.property(scenario, ({ count, copies, seed, which, areSticky }) => {
    const members = membersOf(count, 1, seed)
    const rest = members.filter((_, index) => index !== which % count)
    // What chance adds to a sample of this length, at three standard deviations.
    const bound = 1.2 / count + 3 * Math.sqrt(1 / count / (PIN_COUNT * copies))
    assert.ok(moved(members, rest, copies, areSticky) <= bound, 'removing')
    assert.ok(moved(rest, members, copies, areSticky) <= bound, 'adding')
  }), { numRuns: 30 })
})

test('with zones too, no more copies move than the member that comes or goes holds', () => {
  fc.assert(fc.property(fc.integer({ min: 6, max: 15 }), fc.integer({ min: 2, max: 5 }), fc.integer({ min: 1, max: 3 }), fc.nat(), (count, zoneCount, copies, which) => {
    const members = membersOf(count, zoneCount)
    const gone = members[which % count]
    assert.ok(gone !== undefined)
    const rest = members.filter((member) => member !== gone)
    const held = PIN_KEYS.filter((pinKey) => placeCopies({ pinKey, copies }, members).includes(gone.peer)).length / (PIN_COUNT * copies)
    assert.ok(moved(members, rest, copies, true) <= held * 1.2 + 0.001, 'removing')
    assert.ok(moved(rest, members, copies, true) <= held * 1.2 + 0.001, 'adding')
  }), { numRuns: 20 })
})

test('copies lie in as many zones as there are', () => {
  fc.assert(fc.property(fc.array(fc.record({ zone: fc.constantFrom('a', 'b', 'c', 'd'), weight: fc.integer({ min: 0, max: 100 }), isFull: fc.boolean() }), { maxLength: 12 }), fc.integer({ min: 1, max: 5 }), fc.string(), fc.subarray([0, 1, 2, 3, 4, 5, 6, 7]), (drafts, copies, pinKey, held) => {
    const members: PlacementMember[] = drafts.map((draft, index) => ({ ...draft, peer: `peer ${index}`, state: 'active' }))
    const holders = new Set(held.map((index) => `peer ${index}`))
    const chosen = placeCopies({ pinKey, copies, holders }, members)
    const able = members.filter(({ peer, weight, isFull }) => weight > 0 && (!isFull || holders.has(peer)))
    assert.equal(chosen.length, Math.min(copies, able.length))
    assert.equal(new Set(chosen).size, chosen.length)
    const zones = new Set(able.filter(({ peer }) => chosen.includes(peer)).map(({ zone }) => zone))
    assert.equal(zones.size, Math.min(copies, new Set(able.map(({ zone }) => zone)).size))
    assert.ok(chosen.every((peer) => able.some((member) => member.peer === peer)))
  }))
})

test('every member chooses the same, in whatever order it knows the others', () => {
  fc.assert(fc.property(fc.shuffledSubarray(membersOf(10, 3), { minLength: 10 }), fc.string(), (shuffled, pinKey) => {
    assert.deepEqual(placeCopies({ pinKey, copies: 3 }, shuffled), placeCopies({ pinKey, copies: 3 }, membersOf(10, 3)))
  }))
})

test('members get copies as they have capacity', () => {
  const members = membersOf(4).map((member, index) => ({ ...member, weight: index + 1 }))
  const counts = members.map(({ peer }) => PIN_KEYS.filter((pinKey) => placeCopies({ pinKey, copies: 1 }, members)[0] === peer).length)
  for (const [index, count] of counts.entries()) assert.ok(Math.abs(count / PIN_COUNT - (index + 1) / 10) < 0.03, `${count} of ${PIN_COUNT}`)
})

test('the copy of the origin counts, also when it is full, and in its zone no other is needed', () => {
  const members = membersOf(6, 3).map((member, index) => ({ ...member, isFull: index === 4 }))
  for (const pinKey of PIN_KEYS.slice(0, 200)) {
    const chosen = placeCopies({ pinKey, copies: 3, origin: 'peer 0 4' }, members)
    assert.equal(chosen[0], 'peer 0 4')
    assert.equal(new Set(chosen.map((peer) => members.find((member) => member.peer === peer)?.zone)).size, 3)
    assert.ok(!placeCopies({ pinKey, copies: 3 }, members).includes('peer 0 4'), 'full')
  }
})

test('a holder stays while it ranks a little too low, and not further', () => {
  const members = membersOf(10)
  for (const pinKey of PIN_KEYS.slice(0, 200)) {
    const order = placeCopies({ pinKey, copies: 'all' }, members)
    for (const [rank, peer] of order.entries()) {
      const stays = placeCopies({ pinKey, copies: 3, holders: new Set([peer]) }, members).includes(peer)
      assert.equal(stays, rank < 3 + RANK_SLACK, `rank ${rank}`)
    }
  }
})

test('only the zones that are asked for hold it; who drains holds nothing; all means all', () => {
  const members = membersOf(6, 3).map((member, index) => ({ ...member, state: index === 0 ? 'draining' as const : 'active' as const }))
  assert.deepEqual(placeCopies({ pinKey: 'pin', copies: 'all', zones: ['zone 0'] }, members), ['peer 0 3'])
  assert.equal(placeCopies({ pinKey: 'pin', copies: 'all' }, members).length, 5)
  assert.deepEqual(placeCopies({ pinKey: 'pin', copies: 3 }, []), [])
  assert.deepEqual(placeCopies({ pinKey: 'pin', copies: 3, zones: ['elsewhere'] }, members), [])
})
