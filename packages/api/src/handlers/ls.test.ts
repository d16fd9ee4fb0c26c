import { MemoryBlockstore } from '@holdfast/blockstore'
import { importSources, type ImportSource, recipeOf } from '@holdfast/dag'
import { countingBlockstore, faultyBlockstore } from '@holdfast/testkit'
import type { CID } from 'multiformats/cid'
import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import type { ArgsOf, EntryEvent } from '../operations.ts'
import { openApiNode } from '../harness.test.ts'
import { ls } from './read.ts'

const ENTRIES = 300

test('a listing comes in the order of the directory although entries are read at once, and pages of it add up', async (context) => {
  for (const maxDirectoryLinks of [1000, 16]) {
    const { list, root } = await openDirectory(context, maxDirectoryLinks)
    const { events: all } = await list({ path: String(root) })
    assert.equal(new Set(all.map(({ path }) => path)).size, ENTRIES)
    assert.ok(all.every(({ kind, path, byteLength }) => path === 'sub' ? kind === 'directory' : kind === 'file' && byteLength === path.length))
    const pages: EntryEvent[] = []
    for (let offset = 0; offset <= ENTRIES; offset += 70) pages.push(...(await list({ path: String(root), offset, limit: 70 })).events)
    assert.deepEqual(pages, all)
    assert.deepEqual((await list({ path: String(root), offset: ENTRIES })).events, [])
    assert.deepEqual((await list({ path: String(root), limit: 0 })).events, [])
  }
})

test('without sizes only the blocks of the directory are read, and a page ends before what it does not need', async (context) => {
  const { list, root } = await openDirectory(context, 1000)
  const { events, getCount } = await list({ path: String(root), size: false })
  assert.equal(events.length, ENTRIES)
  assert.ok(getCount <= 2, `${getCount} blocks of a directory of one`)
  assert.deepEqual(new Set(events.map(({ kind, path }) => `${path === 'sub'} ${kind}`)), new Set(['true unknown', 'false file']))

  const sharded = await openDirectory(context, 16)
  const whole = await sharded.list({ path: String(sharded.root), size: false })
  const page = await sharded.list({ path: String(sharded.root), size: false, limit: 5 })
  assert.ok(page.getCount < whole.getCount / 2, `${page.getCount} of ${whole.getCount} shards`)
})

test('entries are read sixteen at a time, and not further than the page goes', async (context) => {
  const { list, root } = await openDirectory(context, 1000)
  const { getCount, maxGetsInFlight } = await list({ path: String(root), offset: 100, limit: 40 })
  assert.ok(getCount <= 42, `${getCount} blocks for 40 entries`)
  assert.ok(maxGetsInFlight > 8 && maxGetsInFlight <= 16, `${maxGetsInFlight} at once`)
})

interface Listing {
  readonly events: EntryEvent[]
  readonly getCount: number
  readonly maxGetsInFlight: number
}

async function openDirectory (context: TestContext, maxDirectoryLinks: number): Promise<{ list: (args: ArgsOf<'ls'>) => Promise<Listing>, root: CID }> {
  const store = new MemoryBlockstore()
  async function * entries (): AsyncIterable<ImportSource> {
    for (let index = 1; index < ENTRIES; index++) {
      const name = Buffer.from(`entry ${index}`)
      yield { kind: 'file', name, open: async function * () { yield name } }
    }
    yield { kind: 'directory', name: Buffer.from('sub'), entries: async function * () {} }
  }
  const [root] = await importSources(store, [{ kind: 'directory', name: new Uint8Array(), entries }], recipeOf({ maxDirectoryLinks, maxHamtFanout: 16 }))
  assert.ok(root !== undefined)
  const node = await openApiNode(context, { blocks: store })
  const list = async (args: ArgsOf<'ls'>): Promise<Listing> => {
    const { store: counting, counts } = countingBlockstore(faultyBlockstore(store, { delayMs: 1 }))
    const events: EntryEvent[] = []
    const openReader = (): ReturnType<typeof node.openReader> => ({ get: (cid, options) => counting.get(cid, options), has: (cid, options) => counting.has(cid, options), [Symbol.dispose] () {} })
    await ls({ ...node, openReader }, args, {
      signal: new AbortController().signal,
      body: (async function * () {})(),
      emit: async (event) => { if (!('progress' in event)) events.push(event) },
      send: async () => {}
    })
    return { events, getCount: counts.get, maxGetsInFlight: counts.maxGetsInFlight }
  }
  return { list, root: root.cid }
}
