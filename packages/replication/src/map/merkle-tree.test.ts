import fc from 'fast-check'
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import { BUCKET_LEVEL, bucketOf, FAN_OUT, MerkleTree, NODE_HASH_BYTES } from './merkle-tree.ts'

const recordHash = (seed: number): string => createHash('sha256').update(String(seed)).digest().toString('latin1')
const rootOf = (tree: MerkleTree): string => Buffer.from(tree.root()).toString('hex')

test('trees of the same records have the same root, whatever came and went in between', () => {
  const seeds = fc.uniqueArray(fc.nat(500), { maxLength: 40 })
  fc.assert(fc.property(seeds, seeds, (kept, passing) => {
    const [direct, roundabout] = [new MerkleTree(), new MerkleTree()]
    for (const seed of kept) direct.add(seed % 7, recordHash(seed))
    for (const seed of passing) roundabout.add(seed % 7, `passing ${seed}`)
    for (const seed of kept.toReversed()) roundabout.add(seed % 7, recordHash(seed))
    roundabout.root()
    for (const seed of passing) roundabout.delete(seed % 7, `passing ${seed}`)
    assert.equal(rootOf(roundabout), rootOf(direct))
    assert.equal(rootOf(direct) === rootOf(new MerkleTree()), kept.length === 0)
  }), { numRuns: 50 })
})

test('the path from the root to a bucket shows where two trees differ', () => {
  const [a, b] = [new MerkleTree(), new MerkleTree()]
  for (let seed = 0; seed < 1000; seed++) {
    a.add(bucketOf(`pin/${seed}`), recordHash(seed))
    if (seed !== 500) b.add(bucketOf(`pin/${seed}`), recordHash(seed))
  }
  let differing = [0]
  for (let level = 0; level < BUCKET_LEVEL; level++) {
    differing = differing.flatMap((index) => Array.from({ length: FAN_OUT }, (_, child) => child)
      .filter((child) => Buffer.compare(hashAt(a, level, index, child), hashAt(b, level, index, child)) !== 0)
      .map((child) => index * FAN_OUT + child))
  }
  assert.deepEqual(differing, [bucketOf('pin/500')])
  assert.ok(a.list(bucketOf('pin/500')).includes(recordHash(500)))
})

function hashAt (tree: MerkleTree, level: number, index: number, child: number): Uint8Array {
  return tree.children(level, index).subarray(child * NODE_HASH_BYTES, (child + 1) * NODE_HASH_BYTES)
}
