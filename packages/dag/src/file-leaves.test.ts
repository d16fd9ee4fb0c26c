import { MemoryBlockstore } from '@holdfast/blockstore'
import { CODECS, isErrorCode } from '@holdfast/core'
import { countingBlockstore } from '@holdfast/testkit'
import fc from 'fast-check'
import type { CID } from 'multiformats/cid'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { patternBytes, putBytes, putFileNode, putUnixFs } from '../test/hand-made.ts'
import { type FileLeaf, fileLeaves, framedByteLength, leafFrame } from './file-leaves.ts'
import { importBytes } from './import/import-tree.ts'
import { recipeOf } from './profile.ts'

const FILE_BYTES = 3_000

for (const [profile, options] of Object.entries({ 'raw leaves': {}, 'leaves of dag-pb': { rawLeaves: false, cidVersion: 0 }, 'a trickle of dag-pb': { rawLeaves: false, trickle: true } })) {
  test(`leaves and nodes hold every byte of any span once: ${profile}`, async () => {
    const store = new MemoryBlockstore()
    const bytes = patternBytes(FILE_BYTES)
    const cid = await importFile(store, bytes, options)
    await fc.assert(fc.asyncProperty(fc.nat(FILE_BYTES + 10), fc.nat(FILE_BYTES + 10), async (offset, byteLength) => {
      const span = { start: offset, end: Math.min(FILE_BYTES, offset + byteLength) }
      if (span.start >= span.end) return
      const found: Uint8Array[] = []
      for await (const part of fileLeaves(store, cid, { span, isLeaf: (leaf) => leaf.byteLength <= 64 })) {
        if ('bytes' in part) found.push(part.bytes)
        else found.push((await contentOf(store, part)).subarray(Math.max(0, span.start - part.start), span.end - part.start))
      }
      assert.deepEqual(Buffer.concat(found), Buffer.from(bytes.subarray(span.start, span.end)))
    }), { numRuns: 100 })
  })
}

test('no leaf is read, and of the nodes only those above the span', async () => {
  const store = new MemoryBlockstore()
  const cid = await importFile(store, patternBytes(FILE_BYTES), {})
  const { store: counting, counts } = countingBlockstore(store)
  const parts = await Array.fromAsync(fileLeaves(counting, cid, { span: { start: 1000, end: 1010 }, isLeaf: ({ cid: { code } }) => code === CODECS.raw }))
  assert.equal(parts.length, 1)
  assert.equal(counts.get, 4, 'four levels of three links above 47 leaves')
})

test('the frame of a leaf is what an importer writes around it, and none is known for another block', async () => {
  const store = new MemoryBlockstore()
  for (const byteLength of [1, 127, 128, 16_383, 16_384, 300_000]) {
    const data = patternBytes(byteLength)
    const leaf = { cid: await putUnixFs(store, { type: 'file', data, byteLength }), start: 0, byteLength, level: 1 }
    const block = await store.get(leaf.cid)
    assert.ok(block !== undefined)
    const frame = leafFrame(leaf)
    assert.deepEqual(Buffer.concat([frame?.head ?? data, data, frame?.tail ?? data]), Buffer.from(block.bytes))
    assert.equal(frame === undefined ? 0 : framedByteLength(leaf, frame), block.bytes.byteLength)
    const raw = { ...leaf, cid: await putBytes(store, data) }
    assert.deepEqual(leafFrame(raw), { head: new Uint8Array(), tail: new Uint8Array() })
    assert.equal(leafFrame({ ...leaf, cid: await putBytes(store, data, CODECS.dagCbor) }), undefined)
  }
})

test('a node that holds another length than its parent declares is corrupt, and what is no file is refused', async () => {
  const store = new MemoryBlockstore()
  const inner = await putFileNode(store, [{ cid: await putBytes(store, patternBytes(10)), byteLength: 10 }])
  const root = await putFileNode(store, [{ ...inner, byteLength: 11 }])
  const span = { start: 0, end: 11 }
  const isLeaf = ({ cid }: FileLeaf): boolean => cid.code === CODECS.raw
  await assert.rejects(Array.fromAsync(fileLeaves(store, root.cid, { span, isLeaf })), (err) => isErrorCode(err, 'CORRUPT') && err.message.includes(inner.cid.toString()))
  await assert.rejects(Array.fromAsync(fileLeaves(store, await putUnixFs(store, { type: 'directory' }), { span, isLeaf })), (err) => isErrorCode(err, 'INVALID'))
})

async function contentOf (store: MemoryBlockstore, leaf: FileLeaf): Promise<Uint8Array> {
  const block = await store.get(leaf.cid)
  assert.ok(block !== undefined)
  const frame = leafFrame(leaf)
  assert.ok(frame !== undefined, 'our importer writes leaves as all do')
  return block.bytes.subarray(frame.head.byteLength, block.bytes.byteLength - frame.tail.byteLength)
}

async function importFile (store: MemoryBlockstore, bytes: Uint8Array, options: object): Promise<CID> {
  async function * source (): AsyncIterable<Uint8Array> { yield bytes }
  return (await importBytes(store, source(), recipeOf({ chunker: 'size-64', maxFileLinks: 3, ...options }))).cid
}
