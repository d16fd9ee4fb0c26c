import { Block, CODECS, encodeDagPb } from '@holdfast/core'
import { importBytes, importSources, listDirectory, readFile, recipeOf, walkDag } from '@holdfast/dag'
import { CID } from 'multiformats/cid'
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { Readable } from 'node:stream'
import { test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { startHelia } from './helia.ts'
import { startOurs } from './ours.ts'
import { patternOf } from './pattern.ts'

const FILE_BYTES = 64 * 1024 * 1024
const FILE_COUNT = 1000
const CHAIN_LENGTH = 1000

test('Helia fetches a file of 64 MiB from us', async (context) => {
  const [ours, helia] = await Promise.all([startOurs(context), startHelia(context)])
  const { cid } = await importBytes(ours.blocks, Readable.from([patternOf(FILE_BYTES)]), recipeOf({ profile: 'unixfs-v1-2025' }))
  await helia.ask({ do: 'connect', address: ours.address })
  const start = performance.now()
  assert.deepEqual(await helia.ask({ do: 'cat', cid: cid.toString() }), { digest: sha256(patternOf(FILE_BYTES)), byteLength: FILE_BYTES })
  context.diagnostic(`${Math.round(FILE_BYTES / 1024 / 1024 / (performance.now() - start) * 1000)} MiB/s`)
})

test('we fetch a file of 64 MiB from Helia, each block once', async (context) => {
  const [ours, helia] = await Promise.all([startOurs(context), startHelia(context)])
  const cid = CID.parse(String((await helia.ask({ do: 'add-file', byteLength: FILE_BYTES }))['cid']))
  await ours.host.connect(helia.address)
  const start = performance.now()
  using session = ours.exchange.openSession(cid, { walk: true })
  const hash = createHash('sha256')
  for await (const piece of readFile(session, cid)) hash.update(piece)
  context.diagnostic(`${Math.round(FILE_BYTES / 1024 / 1024 / (performance.now() - start) * 1000)} MiB/s`)
  assert.equal(hash.digest('hex'), sha256(patternOf(FILE_BYTES)))
  const { duplicateBlockCount, wrongBlockCount, unrequestedBlockCount } = ours.exchange.stats()
  assert.deepEqual({ duplicateBlockCount, wrongBlockCount, unrequestedBlockCount }, { duplicateBlockCount: 0, wrongBlockCount: 0, unrequestedBlockCount: 0 })
})

test('a tree of 1,000 files travels both ways', async (context) => {
  const [ours, helia] = await Promise.all([startOurs(context), startHelia(context)])
  const theirs = CID.parse(String((await helia.ask({ do: 'add-tree', fileCount: FILE_COUNT }))['cid']))
  await ours.host.connect(helia.address)
  using session = ours.exchange.openSession(theirs, { walk: true })
  const names: string[] = []
  for await (const { name, cid } of listDirectory(session, theirs)) names.push(`${name} ${sha256(Buffer.concat(await Array.fromAsync(readFile(session, cid))))}`)
  const expected = Array.from({ length: FILE_COUNT }, (_, index) => `${index} ${sha256(patternOf(1000 + index))}`)
  assert.deepEqual(names.toSorted(), expected.toSorted())

  const children = Array.from({ length: FILE_COUNT }, (_, index) => ({ kind: 'file' as const, name: Buffer.from(String(index)), open: () => Readable.from([patternOf(2000 + index)]) }))
  const [root] = await importSources(ours.blocks, [{ kind: 'directory', name: Buffer.from('tree'), entries: () => Readable.from(children) }], recipeOf())
  assert.ok(root !== undefined)
  const fetched = await helia.ask({ do: 'cat-tree', cid: root.cid.toString() })
  assert.equal(fetched['fileCount'], FILE_COUNT)
})

test('a chain of 1,000 levels goes from us to Helia, and from Helia to another of us', async (context) => {
  const [ours, other, helia] = await Promise.all([startOurs(context), startOurs(context), startHelia(context)])
  const chain = await chainOf(CHAIN_LENGTH)
  await ours.blocks.putMany(chain)
  const root = chain.at(-1)?.cid
  assert.ok(root !== undefined)
  await helia.ask({ do: 'connect', address: ours.address })
  assert.deepEqual(await helia.ask({ do: 'follow-chain', cid: root.toString() }), { blockCount: CHAIN_LENGTH })

  await other.host.connect(helia.address)
  using session = other.exchange.openSession(root, { walk: true })
  assert.equal((await Array.fromAsync(walkDag(session, [root], { maxDepth: CHAIN_LENGTH }))).length, CHAIN_LENGTH)
})

test('a fetch from Helia survives that the connection is cut in the middle', async (context) => {
  const [ours, helia] = await Promise.all([startOurs(context), startHelia(context)])
  const cid = CID.parse(String((await helia.ask({ do: 'add-file', byteLength: FILE_BYTES }))['cid']))
  const peer = await ours.host.connect(helia.address)
  using session = ours.exchange.openSession(cid)
  let byteLength = 0
  let isCut = false
  for await (const piece of readFile(session, cid)) {
    byteLength += piece.byteLength
    if (isCut || byteLength < FILE_BYTES / 4) continue
    isCut = true
    await ours.host.disconnect(peer)
    await delay(100)
    await ours.host.connect(helia.address)
  }
  assert.equal(byteLength, FILE_BYTES)
})

async function chainOf (length: number): Promise<Block[]> {
  const chain = [await Block.of(Buffer.from('end'))]
  for (let top = chain[0]; chain.length < length && top !== undefined; top = chain.at(-1)) {
    const links = [{ cid: top.cid, name: Buffer.from('next'), tsize: undefined }]
    chain.push(await Block.of(encodeDagPb({ links, data: undefined }), { codec: CODECS.dagPb }))
  }
  return chain
}

function sha256 (bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}
