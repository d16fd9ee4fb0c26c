import { adoptBlockstore } from '@holdfast/blockstore/interface'
import { openPackBlockstore } from '@holdfast/blockstore/pack'
import { importBytes, readFile, recipeOf } from '@holdfast/dag'
import { MemoryBlockstore } from 'blockstore-core'
import { CID } from 'multiformats/cid'
import assert from 'node:assert/strict'
import { Readable } from 'node:stream'
import { test } from 'node:test'
import { newFolder } from '../harness.ts'
import { startHelia } from './helia.ts'
import { startOurs } from './ours.ts'
import { patternOf } from './pattern.ts'

const FILE_BYTES = 8 * 1024 * 1024

test('Helia works on our packs: it adds, serves and fetches, and what it put is there after it was killed', async (context) => {
  const folder = await newFolder(context)
  const [ours, helia] = await Promise.all([startOurs(context), startHelia(context, folder)])
  const added = CID.parse(String((await helia.ask({ do: 'add-file', byteLength: FILE_BYTES }))['cid']))
  await ours.host.connect(helia.address)
  using session = ours.exchange.openSession(added, { walk: true })
  assert.ok(Buffer.concat(await Array.fromAsync(readFile(session, added))).equals(patternOf(FILE_BYTES)))

  const { cid: fetched } = await importBytes(ours.blocks, Readable.from([patternOf(FILE_BYTES + 1)]), recipeOf())
  assert.equal((await helia.ask({ do: 'cat', cid: fetched.toString() }))['byteLength'], FILE_BYTES + 1)
  await helia.end()

  await using store = await openPackBlockstore(folder, { reserveBytes: 0 })
  for (const [cid, byteLength] of [[added, FILE_BYTES], [fetched, FILE_BYTES + 1]] as const) {
    assert.ok(Buffer.concat(await Array.fromAsync(readFile(store, cid))).equals(patternOf(byteLength)))
  }
})

test('our node works on the store in memory of blockstore-core: it adds, serves and fetches', async (context) => {
  const [ours, helia] = await Promise.all([startOurs(context, adoptBlockstore(new MemoryBlockstore())), startHelia(context)])
  const { cid } = await importBytes(ours.blocks, Readable.from([patternOf(FILE_BYTES)]), recipeOf())
  await helia.ask({ do: 'connect', address: ours.address })
  assert.equal((await helia.ask({ do: 'cat', cid: cid.toString() }))['byteLength'], FILE_BYTES)

  const theirs = CID.parse(String((await helia.ask({ do: 'add-file', byteLength: FILE_BYTES + 1 }))['cid']))
  using session = ours.exchange.openSession(theirs, { walk: true })
  assert.ok(Buffer.concat(await Array.fromAsync(readFile(session, theirs))).equals(patternOf(FILE_BYTES + 1)))
  assert.ok(Buffer.concat(await Array.fromAsync(readFile(ours.blocks, theirs))).equals(patternOf(FILE_BYTES + 1)))
})
