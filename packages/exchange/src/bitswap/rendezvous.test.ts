import fc from 'fast-check'
import { CID } from 'multiformats/cid'
import { create } from 'multiformats/hashes/digest'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { blocksOf } from '../nodes.test.ts'
import { candidateOf, rankFor } from './rendezvous.ts'

const IDS = ['12D3KooWAlpha', '12D3KooWBravo', '12D3KooWCharlie', '12D3KooWDelta', '12D3KooWEcho']

test('shares are balanced, for any number of peers', async () => {
  const blocks = await blocksOf(4000, 8)
  for (let count = 1; count <= IDS.length; count++) {
    const candidates = IDS.slice(0, count).map(candidateOf)
    const shares = new Map<string, number>()
    for (const { cid } of blocks) {
      const id = rankFor(cid, candidates)[0]?.id ?? ''
      shares.set(id, (shares.get(id) ?? 0) + 1)
    }
    const mean = blocks.length / count
    assert.equal(shares.size, count)
    // Five standard deviations of a fair deal.
    const tolerance = 5 * Math.sqrt(mean)
    for (const share of shares.values()) assert.ok(Math.abs(share - mean) <= tolerance, `${[...shares.values()]}`)
  }
})

test('all agree, in whatever order they know the peers, and a peer that goes moves no other share', async () => {
  const blocks = await blocksOf(20, 8)
  fc.assert(fc.property(
    fc.uniqueArray(fc.string({ minLength: 1, maxLength: 60 }), { minLength: 2, maxLength: 8 }).chain((ids) => fc.tuple(fc.constant(ids), fc.shuffledSubarray(ids, { minLength: ids.length }), fc.nat(ids.length - 1))),
    fc.nat(blocks.length - 1),
    ([ids, shuffled, goneIndex], blockIndex) => {
      const { cid } = blocks[blockIndex] ?? blocks[0]
      const ranked = rankFor(cid, ids.map(candidateOf)).map(({ id }) => id)
      assert.deepEqual(rankFor(cid, shuffled.map(candidateOf)).map(({ id }) => id), ranked)
      const gone = ids[goneIndex]
      const left = ids.filter((id) => id !== gone)
      assert.deepEqual(rankFor(cid, left.map(candidateOf)).map(({ id }) => id), ranked.filter((id) => id !== gone))
    }
  ))
})

test('the codec and version of a CID do not matter, and a short digest is taken as it is', async () => {
  const [{ cid }] = await blocksOf(3, 8)
  const candidates = IDS.map(candidateOf)
  assert.deepEqual(rankFor(CID.createV1(0x70, cid.multihash), candidates), rankFor(cid, candidates))
  assert.equal(rankFor(CID.createV1(0x55, create(0x12, Uint8Array.of(7))), candidates).length, IDS.length)
})
