import { Block, CODECS, encodeDagPb } from '@holdfast/core'
import type { CID } from 'multiformats/cid'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { blocksOf } from '../nodes.test.ts'
import { MAX_AHEAD_BLOCKS, MAX_AHEAD_BYTES, ReadAhead } from './read-ahead.ts'

test('nothing is fetched ahead of a reader that took nothing', async () => {
  const { readAhead } = newReadAhead({ walk: false })
  readAhead.open(await nodeOf(await blocksOf(10, 1000)))
  assert.equal(readAhead.next(), undefined)
})

test('as much is fetched ahead as was asked for and got, in the order of the links', async () => {
  const { readAhead } = newReadAhead({ walk: false })
  const leaves = await blocksOf(10, 1000)
  readAhead.open(await nodeOf(leaves))
  readAhead.take(leaves[0].cid)
  readAhead.taken(2500)
  assert.deepEqual(drain(readAhead), names(leaves.slice(1, 5)))
  readAhead.take(leaves[1].cid)
  readAhead.taken(1000)
  assert.deepEqual(drain(readAhead), names(leaves.slice(5, 8)))
})

test('links before the one that was taken are passed over, and what was on its way for them is let go', async () => {
  const { readAhead, passedOver } = newReadAhead({ walk: true })
  const leaves = await blocksOf(10, MAX_AHEAD_BYTES / 64)
  readAhead.open(await nodeOf(leaves))
  assert.equal(readAhead.next()?.cid.toString(), leaves[0].cid.toString())
  readAhead.take(leaves[7]?.cid ?? leaves[0].cid)
  assert.deepEqual(passedOver, names(leaves.slice(0, 1)))
  assert.deepEqual(drain(readAhead), names(leaves.slice(8)))
})

test('what a dag node links to comes in its place: depth first', async () => {
  const { readAhead } = newReadAhead({ walk: true })
  const [first, second] = [await blocksOf(3, 1000), await blocksOf(3, 1000, 9)]
  const inner = [await nodeOf(first), await nodeOf(second)] as const
  readAhead.open(await nodeOf([...inner]))
  assert.equal(readAhead.next()?.cid.toString(), inner[0].cid.toString())
  assert.equal(readAhead.next()?.cid.toString(), inner[1].cid.toString())
  readAhead.open(inner[1])
  assert.equal(readAhead.next()?.cid.toString(), second[0].cid.toString())
  readAhead.open(inner[0])
  assert.deepEqual(drain(readAhead), names([...first, ...second.slice(1)]))
})

test('a dag node that is met again changes nothing', async () => {
  const { readAhead, passedOver } = newReadAhead({ walk: true })
  const leaves = await blocksOf(5, 1000)
  const root = await nodeOf(leaves)
  readAhead.open(root)
  assert.deepEqual(drain(readAhead), names(leaves))
  readAhead.take(leaves[0].cid)
  readAhead.open(root)
  readAhead.take(leaves[0].cid)
  assert.deepEqual(drain(readAhead), [])
  assert.deepEqual(passedOver, [])
})

test('a block says how long it is by what its parent wrote', async () => {
  const { readAhead } = newReadAhead({ walk: true })
  const leaves = await blocksOf(3, 1234)
  readAhead.open(await nodeOf(leaves))
  assert.equal(readAhead.take(leaves[1].cid), 1234)
})

test('a DAG of any size is fetched ahead within a bound of blocks and bytes', async () => {
  const { readAhead } = newReadAhead({ walk: true })
  const leaves = await blocksOf(MAX_AHEAD_BLOCKS + 500, 100)
  readAhead.open(await nodeOf(leaves))
  assert.equal(drain(readAhead).length, MAX_AHEAD_BLOCKS)

  const large = newReadAhead({ walk: true }).readAhead
  const links = leaves.map(({ cid }) => ({ cid, name: new Uint8Array(), tsize: 2 * 1024 * 1024 }))
  large.open(await Block.of(encodeDagPb({ links, data: undefined }), { codec: CODECS.dagPb }))
  assert.equal(drain(large).length, MAX_AHEAD_BYTES / (2 * 1024 * 1024))
})

test('a chain of any length holds one link at a time', async () => {
  const { readAhead } = newReadAhead({ walk: true })
  let block: Block = (await blocksOf(1, 10))[0]
  const chain = [block]
  for (let depth = 0; depth < 2000; depth++) chain.unshift(block = await nodeOf([block]))
  for (const link of chain) {
    readAhead.take(link.cid)
    readAhead.open(link)
  }
  assert.equal(readAhead.next(), undefined)
})

function newReadAhead ({ walk }: { walk: boolean }): { readAhead: ReadAhead, passedOver: string[] } {
  const passedOver: string[] = []
  return { readAhead: new ReadAhead({ walk, onPassedOver: (cid: CID) => { passedOver.push(cid.toString()) } }), passedOver }
}

async function nodeOf (children: readonly Block[]): Promise<Block> {
  const links = children.map(({ cid, bytes }) => ({ cid, name: new Uint8Array(), tsize: bytes.byteLength }))
  return await Block.of(encodeDagPb({ links, data: undefined }), { codec: CODECS.dagPb })
}

function drain (readAhead: ReadAhead): string[] {
  const found: string[] = []
  for (let next = readAhead.next(); next !== undefined; next = readAhead.next()) found.push(next.cid.toString())
  return found
}

function names (blocks: readonly Block[]): string[] {
  return blocks.map(({ cid }) => cid.toString())
}
