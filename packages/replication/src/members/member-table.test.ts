import type { Identity } from '@holdfast/network'
import fc from 'fast-check'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { newIdentities } from '../../test/identities.ts'
import { clusterIdOf, type MemberFields, type MemberRecord } from '../record/record.ts'
import { signGenesis, signMember } from '../record/sign-record.ts'
import { memberTable, type MemberTable } from './member-table.ts'

const identities = await newIdentities(6)
const [founder, alice, bob, carol] = identities
assert.ok(founder !== undefined && alice !== undefined && bob !== undefined && carol !== undefined)
const genesis = signGenesis(founder, { name: 'ours', nonce: new Uint8Array(16), createdMs: 1 })
const cluster = clusterIdOf(genesis.bytes)

/** Signs member records of one admin in their chain. */
class Signer {
  readonly #identity: Identity
  #seq = 0
  #last: MemberRecord | undefined

  constructor (identity: Identity) {
    this.#identity = identity
  }

  get head (): { head?: Uint8Array } {
    return this.#last === undefined ? {} : { head: hashBytes(this.#last) }
  }

  sign (fields: Pick<MemberFields, 'peer' | 'role' | 'state'> & Partial<MemberFields>, ms: number): MemberRecord {
    const prev = this.#last === undefined ? {} : { prev: hashBytes(this.#last) }
    this.#last = signMember(this.#identity, { cluster, seq: ++this.#seq, hlc: [ms, 0], ...prev, ...fields })
    return this.#last
  }

  admit (peer: Identity, role: 'admin' | 'member', ms: number): MemberRecord {
    return this.sign({ peer: peer.peerId, role, state: 'active' }, ms)
  }

  remove (peer: Identity, ms: number, fields: { head?: Uint8Array } = {}): MemberRecord {
    return this.sign({ peer: peer.peerId, role: 'member', state: 'removed', cutoff: 0, ...fields }, ms)
  }
}

function hashBytes ({ hash }: MemberRecord): Uint8Array {
  return Buffer.from(hash, 'latin1')
}

/** Who is active, as `peer:role`. */
function active ({ byPeer }: MemberTable): string[] {
  return [...byPeer.values()].filter(({ isActive }) => isActive).map(({ peer, role }) => `${nameOf(peer)}:${role}`).toSorted()
}

function nameOf (peer: string): string {
  return ['founder', 'alice', 'bob', 'carol', 'dave', 'erin'][identities.findIndex(({ peerId }) => peerId === peer)] ?? peer
}

test('the founder is an admin by the genesis', () => {
  assert.deepEqual(active(memberTable(genesis, [])), ['founder:admin'])
})

test('an admin that an admin admitted may admit; a member may not, nor a stranger', () => {
  const [f, a, b, c] = [new Signer(founder), new Signer(alice), new Signer(bob), new Signer(carol)]
  const records = [f.admit(alice, 'admin', 2), a.admit(bob, 'member', 3), b.admit(carol, 'admin', 4), c.admit(carol, 'admin', 5)]
  assert.deepEqual(active(memberTable(genesis, records)), ['alice:admin', 'bob:member', 'founder:admin'])
})

test('a removal beats an older admission, and a newer admission beats the removal', () => {
  const f = new Signer(founder)
  const records = [f.admit(bob, 'member', 2), f.remove(bob, 3)]
  assert.deepEqual(active(memberTable(genesis, records)), ['founder:admin'])
  assert.deepEqual(active(memberTable(genesis, [...records, f.admit(bob, 'admin', 4)])), ['bob:admin', 'founder:admin'])
})

test('what an admin signed before its removal counts, and what it signed after does not, however it is dated', () => {
  const [f, a] = [new Signer(founder), new Signer(alice)]
  const before = [f.admit(alice, 'admin', 2), a.admit(bob, 'member', 3)]
  const removal = f.remove(alice, 4, a.head)
  const backdated = a.admit(carol, 'admin', 1)
  assert.deepEqual(active(memberTable(genesis, [...before, removal, backdated])), ['bob:member', 'founder:admin'])
  // A second record in the place of one that counts: same seq, same time.
  const forked = signMember(alice, { cluster, peer: carol.peerId, role: 'admin', state: 'active', seq: 1, hlc: [3, 0] })
  assert.deepEqual(active(memberTable(genesis, [...before, removal, forked])), ['bob:member', 'founder:admin'])
})

test('an admin that was given another role signs in vain from then on', () => {
  const [f, a] = [new Signer(founder), new Signer(alice)]
  const records = [f.admit(alice, 'member', 2), f.admit(alice, 'admin', 3), a.admit(bob, 'member', 4)]
  const demotion = f.sign({ peer: alice.peerId, role: 'member', state: 'active', ...a.head }, 5)
  assert.deepEqual(active(memberTable(genesis, [...records, demotion, a.admit(carol, 'member', 1)])), ['alice:member', 'bob:member', 'founder:admin'])
})

test('an admin that was removed cannot answer with the removal of its remover', () => {
  const [f, a, b] = [new Signer(founder), new Signer(alice), new Signer(bob)]
  const admissions = [f.admit(alice, 'admin', 2), f.admit(bob, 'admin', 3)]
  const removal = a.remove(bob, 10)
  const revenge = b.remove(alice, 5)
  assert.deepEqual(active(memberTable(genesis, [...admissions, removal, revenge])), ['alice:admin', 'founder:admin'])
})

test('a junior may remove a senior, the founder included, who then signs in vain', () => {
  const [f, a] = [new Signer(founder), new Signer(alice)]
  const admission = f.admit(alice, 'admin', 2)
  const removal = a.remove(founder, 3, f.head)
  assert.deepEqual(active(memberTable(genesis, [admission, removal, f.admit(carol, 'admin', 4)])), ['alice:admin'])
})

interface Step { readonly signer: number, readonly peer: number, readonly action: 'admin' | 'member' | 'remove', readonly ms: number, readonly seesHead: boolean }

const step: fc.Arbitrary<Step> = fc.record({
  signer: fc.nat(5), peer: fc.nat(5), action: fc.constantFrom('admin', 'admin', 'member', 'remove', 'remove'), ms: fc.integer({ min: 2, max: 20 }), seesHead: fc.boolean()
})

/** Anything that six nodes may sign, honest or not: any times, heads seen or not. */
const history = fc.array(step, { minLength: 1, maxLength: 25 }).map((steps) => {
  const signers = identities.map((identity) => new Signer(identity))
  return [signers[0]?.admit(alice, 'admin', 2), ...steps.map(({ signer, peer, action, ms, seesHead }) => {
    const about = identities[peer]
    assert.ok(about !== undefined)
    return action === 'remove' ? signers[signer]?.remove(about, ms, seesHead ? signers[peer]?.head : {}) : signers[signer]?.admit(about, action, ms)
  })].filter((record) => record !== undefined)
})

test('the same follows from the same records in any order, and from those that count alone', () => {
  let removedCount = 0
  fc.assert(fc.property(history.chain((records) => fc.tuple(fc.constant(records), fc.shuffledSubarray(records, { minLength: records.length }))), ([records, shuffled]) => {
    const table = memberTable(genesis, records)
    assert.deepEqual(comparable(memberTable(genesis, shuffled)), comparable(table))
    assert.deepEqual(comparable(memberTable(genesis, records.filter(({ hash }) => table.support.has(hash)))), comparable(table))
    removedCount += [...table.byPeer.values()].filter(({ isActive }) => !isActive).length
  }), { numRuns: 400 })
  assert.ok(removedCount > 100, 'the histories remove members')
})

function comparable ({ byPeer, support }: MemberTable): unknown {
  return { members: [...byPeer.values()].map(({ record, ...state }) => ({ ...state, hash: record?.hash })).toSorted((a, b) => a.peer < b.peer ? -1 : 1), support: [...support].toSorted() }
}

test('whatever a removed admin signs afterwards changes nothing', () => {
  fc.assert(fc.property(history, fc.array(step, { maxLength: 10 }), (records, later) => {
    const f = new Signer(founder)
    const a = new Signer(alice)
    const [admission, own] = [f.admit(alice, 'admin', 2), a.admit(carol, 'member', 3)]
    const others = records.filter(({ writer }) => writer !== founder.peerId && writer !== alice.peerId)
    const all = [admission, own, ...others, f.remove(alice, 30, a.head)]
    const table = memberTable(genesis, all)
    const afterwards = later.map(({ peer, action, ms }) => {
      const about = identities[peer] ?? bob
      return action === 'remove' ? a.remove(about, ms) : a.admit(about, action, ms)
    })
    assert.deepEqual(active(memberTable(genesis, [...all, ...afterwards])), active(table))
  }), { numRuns: 200 })
})
