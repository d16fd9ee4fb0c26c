import { MemoryBlockstore } from '@holdfast/blockstore'
import type { BlockPlace } from '@holdfast/blockstore/places'
import type { CID } from 'multiformats/cid'
import { open } from 'node:fs/promises'
import { importBytes, recipeOf, type RecipeOptions } from '../src/index.ts'

/** A file of which each block lies in one file of the disk, too. */
export interface PlacedFile {
  readonly store: MemoryBlockstore
  readonly cid: CID
  readonly places: ReadonlyMap<string, BlockPlace>
  placeOf(cid: CID): BlockPlace | undefined
}

/** Imports `bytes` and writes all blocks behind each other to `path`. */
export async function placeFile (path: string, bytes: Uint8Array, recipe: RecipeOptions): Promise<PlacedFile> {
  const store = new MemoryBlockstore()
  async function * content (): AsyncIterable<Uint8Array> { yield bytes }
  const { cid } = await importBytes(store, content(), recipeOf(recipe))
  const places = new Map<string, BlockPlace>()
  await using file = await open(path, 'w')
  let offset = 0
  for await (const each of store.list()) {
    const block = await store.get(each)
    if (block === undefined) continue
    await file.write(block.bytes, 0, block.bytes.byteLength, offset)
    places.set(Buffer.from(each.multihash.bytes).toString('hex'), { path, offset, byteLength: block.bytes.byteLength })
    offset += block.bytes.byteLength
  }
  return { store, cid, places, placeOf: ({ multihash }) => places.get(Buffer.from(multihash.bytes).toString('hex')) }
}
