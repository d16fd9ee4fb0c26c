import fc from 'fast-check'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Reference, ReferenceTable } from './reference-table.ts'

function multihashOf (seed: number, digestBytes = 32): Uint8Array {
  const multihash = Buffer.alloc(2 + digestBytes)
  multihash[0] = 0x12
  multihash[1] = digestBytes
  // The last bytes, which decide on the slot, are the same for many.
  multihash.writeUInt32LE(seed, 2)
  multihash.writeUInt32BE(seed % 7, multihash.byteLength - 4)
  return Uint8Array.from(multihash)
}

function referenceTo (seed: number, path = `/files/${seed % 5}`): Reference {
  return { multihash: multihashOf(seed, 20 + seed % 45), path, offset: seed * 1_000_003, byteLength: seed }
}

function sorted (references: Iterable<Reference>): string[] {
  return [...references].map(({ multihash, ...place }) => `${Buffer.from(multihash).toString('hex')} ${JSON.stringify(place)}`).toSorted()
}

test('a table answers as a map of the same references does, whatever comes and goes', () => {
  const change = fc.record({ seed: fc.nat(60), isPut: fc.boolean(), path: fc.constantFrom('/a', '/b', '/c/d') })
  fc.assert(fc.property(fc.array(change, { maxLength: 300 }), (changes) => {
    const table = new ReferenceTable()
    const model = new Map<number, Reference>()
    for (const { seed, isPut, path } of changes) {
      const reference = referenceTo(seed, path)
      if (isPut) {
        table.set(reference)
        model.set(seed, reference)
      } else assert.equal(table.delete(reference.multihash), model.delete(seed))
    }
    assert.deepEqual(sorted(table.entries()), sorted(model.values()))
    assert.equal(table.count, model.size)
    assert.equal(table.byteLength, model.values().reduce((sum, { byteLength }) => sum + byteLength, 0))
    assert.equal(table.fileCount, new Set(model.values().map(({ path }) => path)).size)
    for (let seed = 0; seed <= 60; seed++) assert.deepEqual(table.get(referenceTo(seed).multihash), model.get(seed))
  }), { numRuns: 300 })
})

test('a table grows over its slabs and slots, and is made anew when most of it is dead', () => {
  const table = new ReferenceTable()
  const count = 60_000
  for (let seed = 0; seed < count; seed++) table.set({ ...referenceTo(seed), multihash: manyMultihashOf(seed) })
  assert.equal(table.count, count)
  const walk = table.entries()
  walk.next()
  for (let seed = 0; seed < count - 10; seed++) assert.ok(table.delete(manyMultihashOf(seed)), `${seed}`)
  for (let seed = count; seed < 2 * count; seed++) {
    table.set({ ...referenceTo(seed), multihash: manyMultihashOf(seed) })
    table.delete(manyMultihashOf(seed))
  }
  assert.equal([...table.entries()].length, 10)
  assert.deepEqual(table.get(manyMultihashOf(count - 3)), { ...referenceTo(count - 3), multihash: manyMultihashOf(count - 3) })
  assert.ok([...walk].length <= 10, 'a walk that began before tells none that are gone')
  assert.equal(table.fileCount, 5)
})

test('a long way into a file is told exactly', () => {
  const table = new ReferenceTable()
  const reference = { multihash: multihashOf(1), path: '/large', offset: 2 ** 48 - 1, byteLength: 2 * 1024 * 1024 }
  table.set(reference)
  assert.deepEqual(table.get(reference.multihash), reference)
})

/** Spread over the slots. */
function manyMultihashOf (seed: number): Uint8Array {
  const multihash = multihashOf(seed)
  new DataView(multihash.buffer).setUint32(30, Math.imul(seed, 2_654_435_761))
  return multihash
}
