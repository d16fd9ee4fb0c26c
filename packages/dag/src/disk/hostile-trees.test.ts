import { MemoryBlockstore } from '@holdfast/blockstore'
import { HoldfastError, isHoldfastError } from '@holdfast/core'
import fc from 'fast-check'
import assert from 'node:assert/strict'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { linkTo, putBytes, putUnixFs } from '../../test/hand-made.ts'
import { openJail } from '../../test/jail.ts'
import { readTree } from '../read-tree.ts'
import type { TreeEntry } from '../tree-entry.ts'
import { writeTree } from './write-tree.ts'

const scratch = await mkdtemp(join(tmpdir(), 'hostile-trees-'))
after(async () => await rm(scratch, { recursive: true, force: true }))

/** Enough for every tree here, so that no test depends on the free space of the disk. */
const MAX_BYTES = 1_000_000

/** Trees in all. `npm run hostile` asks for 10,000 (reliability.md, T2.6-a), `npm test` for fewer. */
const TREES = Number(process.env['HOSTILE_TREES'] ?? 2000)

/** Half of them are lists of entries, two for each run, and half are DAGs. */
const PAIRS_OF_LISTS: number = Math.ceil(TREES / 4)
const DAGS: number = Math.ceil(TREES / 2)

/** Another one on each run; a failure names it, and so does the report of the test. */
const seed = Date.now() & 0x7fffffff

test('lists of hostile entries, one written over the other, change nothing outside of the target', async (context) => {
  context.diagnostic(`HOSTILE_TREES=${TREES}, seed ${seed}`)
  const { folder, target, snapshot } = await openJail(scratch)
  const before = await snapshot()
  await fc.assert(fc.asyncProperty(fc.array(hostileEntry, { maxLength: 12 }), fc.array(hostileEntry, { maxLength: 12 }), fc.boolean(), async (first, second, allowOutsideSymlinks) => {
    for (const entries of [first, second]) {
      await survive(writeTree(fromArray([{ kind: 'directory', path: [] }, ...entries]), target, { maxBytes: MAX_BYTES, overwrite: true, allowOutsideSymlinks }))
      assert.deepEqual(await snapshot(), before)
      assert.deepEqual((await readdir(folder)).filter((name) => name !== 'out'), [])
    }
    await rm(target, { recursive: true, force: true })
  }), { numRuns: PAIRS_OF_LISTS, seed })
})

test('hostile DAGs change nothing outside of the target, also when they are interrupted and taken up again', async (context) => {
  context.diagnostic(`HOSTILE_TREES=${TREES}, seed ${seed}`)
  const { folder, target, snapshot } = await openJail(scratch)
  const before = await snapshot()
  await fc.assert(fc.asyncProperty(hostileDirectory, fc.option(fc.nat(8), { freq: 2 }), async (tree, interruptedAfter) => {
    const store = new MemoryBlockstore()
    const root = await putHostile(store, tree)
    const options = { maxBytes: MAX_BYTES, allowOutsideSymlinks: true, resumeKey: root.toString() }
    if (interruptedAfter !== null) await interrupted(writeTree(cutOff(readTree(store, root), interruptedAfter), target, options))
    await survive(writeTree(readTree(store, root), target, { ...options, overwrite: true }))
    assert.deepEqual(await snapshot(), before)
    assert.deepEqual((await readdir(folder)).filter((name) => name !== 'out'), [], 'no folder stays behind')
    await rm(target, { recursive: true, force: true })
  }), { numRuns: DAGS, seed })
})

const HOSTILE_NAMES = ['..', '.', '', '/', 'a/b', '../outside', '/etc', 'nul\0', '\ud800', 'x'.repeat(256), 'CON', 'a', 'A', 'b', '\u00e9', 'e\u0301', '\u202ea', 'secret', 'outside', 'out', 'tree', 'link', '__proto__']
const HOSTILE_TARGETS = ['..', '../..', '../../outside', '../../outside/secret', '/', '/tmp', '.', 'a', 'a/..', 'link', 'link/../..', '', '\0', '../out', 'b/../../../outside', '../tree']

const nameArbitrary = fc.oneof({ weight: 3, arbitrary: fc.constantFrom('a', 'b', 'link') }, { weight: 2, arbitrary: fc.constantFrom(...HOSTILE_NAMES) }, { weight: 1, arbitrary: fc.string({ maxLength: 5 }) })
const pathArbitrary = fc.array(nameArbitrary, { minLength: 1, maxLength: 4 })
const targetArbitrary = fc.oneof(fc.constantFrom(...HOSTILE_TARGETS), fc.string({ maxLength: 5 }))
const modeArbitrary = fc.constantFrom(undefined, 0, 0o777, 0o4777)

const hostileEntry: fc.Arbitrary<TreeEntry> = fc.oneof(
  fc.record({ kind: fc.constant('file' as const), path: pathArbitrary, byteLength: fc.nat(3), content: fc.constantFrom('', 'x', 'xx', 'xxx').map((text) => once(Buffer.from(text))), mode: modeArbitrary }),
  fc.record({ kind: fc.constant('directory' as const), path: pathArbitrary, mode: fc.constantFrom(undefined, 0o700, 0o777) }),
  fc.record({ kind: fc.constant('symlink' as const), path: pathArbitrary, target: targetArbitrary })
)

/** A tree as plain values: a number is a file of that length, text the target of a symlink, a list a directory. */
type Hostile = number | string | Array<[name: string, child: Hostile]>

const { tree: hostileDirectory } = fc.letrec<{ tree: Hostile, child: Hostile }>((tie) => ({
  tree: fc.array(fc.tuple(nameArbitrary, tie('child')), { maxLength: 5 }),
  child: fc.oneof({ maxDepth: 4 }, fc.nat(9), targetArbitrary, tie('tree'))
}))

async function putHostile (store: MemoryBlockstore, tree: Hostile): ReturnType<typeof putBytes> {
  if (typeof tree === 'number') return await putBytes(store, Buffer.alloc(tree, 'x'))
  if (typeof tree === 'string') return await putUnixFs(store, { type: 'symlink', data: Buffer.from(tree) })
  const links = await Promise.all(tree.map(async ([name, child]) => linkTo(await putHostile(store, child), name)))
  return await putUnixFs(store, { type: 'directory' }, links)
}

async function * fromArray (entries: readonly TreeEntry[]): AsyncIterable<TreeEntry> {
  yield * entries
}

/** Bytes in one piece, for any number of readings. */
function once (bytes: Uint8Array): AsyncIterable<Uint8Array> {
  return { [Symbol.asyncIterator]: async function * () { yield bytes } }
}

/** Fails like a connection after so many entries. */
async function * cutOff (entries: AsyncIterable<TreeEntry>, count: number): AsyncIterable<TreeEntry> {
  let passed = 0
  for await (const entry of entries) {
    if (passed++ === count) throw new HoldfastError('UNAVAILABLE', 'The connection is lost')
    yield entry
  }
}

/** It may also have ended well, or been refused. */
async function interrupted (writing: Promise<unknown>): Promise<void> {
  try {
    await writing
  } catch (err) {
    if (!isHoldfastError(err)) throw err
  }
}

/** Both outcomes are fine for a hostile tree, a failure of another kind is not. */
async function survive (writing: Promise<unknown>): Promise<void> {
  try {
    await writing
  } catch (err) {
    if (!isHoldfastError(err) || err.code === 'UNAVAILABLE') throw err
  }
}
