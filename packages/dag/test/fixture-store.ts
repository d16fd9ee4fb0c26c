import { MemoryBlockstore } from '@holdfast/blockstore'
import { Block } from '@holdfast/core'
import { fixturePath } from '@holdfast/testkit'
import * as dagCbor from '@ipld/dag-cbor'
import { varint } from 'multiformats'
import { CID } from 'multiformats/cid'
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'

/** Puts the blocks of a CARv1 fixture into a store, each checked against its CID. */
export async function openFixture (name: string): Promise<{ store: MemoryBlockstore, root: CID }> {
  const bytes = await readFile(fixturePath(name))
  const store = new MemoryBlockstore()
  const [headerLength, headerStart] = varint.decode(bytes)
  const { roots } = dagCbor.decode<{ roots: CID[] }>(bytes.subarray(headerStart, headerStart + headerLength))
  for (let at = headerStart + headerLength; at < bytes.byteLength;) {
    const [length, prefixLength] = varint.decode(bytes, at)
    const [cid, content] = CID.decodeFirst(bytes.subarray(at + prefixLength, at + prefixLength + length))
    await store.put(await Block.verify(cid, content))
    at += prefixLength + length
  }
  const [root] = roots
  assert.ok(root !== undefined)
  return { store, root }
}
