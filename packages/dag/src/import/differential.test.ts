/**
 * Random trees, at and around every boundary, imported here and by the reference importer: the CIDs are equal.
 *
 * It knows sha2-256 and fixed chunks only as Kubo does; hashes, rolling chunkers and inline blocks are shown by the vectors.
 * `HOLDFAST_RUNS` sets how many cases there are, `HOLDFAST_SEED` which.
 */
import { encodeDagPb } from '@holdfast/core'
import { BlackHoleBlockstore } from 'blockstore-core/black-hole'
import fc from 'fast-check'
import { importer, type ImporterOptions } from 'ipfs-unixfs-importer'
import { fixedSize } from 'ipfs-unixfs-importer/chunker'
import { balanced, trickle } from 'ipfs-unixfs-importer/layout'
import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { type ImportRecipe, recipeOf } from '../profile.ts'
import { encodeUnixFs } from '../unixfs.ts'
import { discardingWriter, importSources } from './import-tree.ts'
import { hasAttributes, type ImportAttributes, type ImportSource } from './source.ts'

/** Cases of all properties together: a minute of one core. */
const RUNS = Number(process.env.HOLDFAST_RUNS ?? 2100)

const SEED = Number(process.env.HOLDFAST_SEED ?? Math.trunc(Math.random() * 2 ** 31))

/** A threshold that every directory is above. The reference importer counts subdirectories late, so 0 is none. */
const ALWAYS = -1

/** An entry as plain values: bytes are a file, text a symlink, an array a directory. */
interface Entry {
  readonly name: string
  readonly value: Uint8Array | string | readonly Entry[]
  readonly attributes?: ImportAttributes | undefined
}

interface Candidate { path: string, content?: AsyncIterable<Uint8Array>, link?: string, mode?: number, mtime?: { secs: bigint, nsecs?: number } }

const nameArbitrary = fc.string({ unit: fc.constantFrom(...'abcXYZ019._- ~ü☃'), minLength: 1, maxLength: 9 }).filter((name) => name !== '.' && name !== '..')

/** Seconds from 2^31 to 2^32 are left out: the reference importer writes other numbers for them. */
const secondsArbitrary = fc.oneof(fc.bigInt({ min: -(2n ** 40n), max: 2n ** 31n - 1n }), fc.bigInt({ min: 2n ** 32n, max: 2n ** 40n }))

const attributesArbitrary: fc.Arbitrary<ImportAttributes> = fc.record({
  mode: fc.option(fc.integer({ min: 1, max: 0o7777 }), { nil: undefined }),
  mtime: fc.option(fc.record({ seconds: secondsArbitrary, nanoseconds: fc.constantFrom(0, 1, 999_999_999) }), { nil: undefined })
}).filter(hasAttributes)

/** What the widths and lengths of files follow from. Tiny, so that few bytes make deep trees. */
const shapeArbitrary = fc.record({
  profile: fc.constantFrom('unixfs-v0-2015', 'unixfs-v1-2025'),
  cidVersion: fc.constantFrom(0, 1, undefined),
  rawLeaves: fc.constantFrom(true, false, undefined),
  layout: fc.constantFrom<'balanced' | 'trickle'>('balanced', 'trickle'),
  chunkBytes: fc.integer({ min: 1, max: 40 }),
  maxFileLinks: fc.integer({ min: 2, max: 6 }),
  directoryEstimation: fc.constantFrom<'links' | 'block'>('links', 'block'),
  hamtBits: fc.integer({ min: 3, max: 10 })
})

type Shape = typeof shapeArbitrary extends fc.Arbitrary<infer T> ? T : never

interface FileCase { shape: Shape, byteLength: number, attributes?: ImportAttributes }

function recipeFrom ({ profile, cidVersion, rawLeaves, layout, chunkBytes, maxFileLinks, directoryEstimation, hamtBits }: Shape, hamtThresholdBytes = 262_144): ImportRecipe {
  const recipe = recipeOf({ profile, cidVersion, rawLeaves, maxFileLinks, trickle: layout === 'trickle', maxHamtFanout: 2 ** hamtBits })
  return { ...recipe, chunking: { kind: 'size', chunkBytes }, directoryEstimation, hamtThresholdBytes }
}

function oracleOptions ({ profile, chunkBytes }: Shape, recipe: ImportRecipe, wrap: boolean): ImporterOptions {
  const { cidVersion, rawLeaves, maxFileLinks: maxChildrenPerNode, layout, hamtThresholdBytes, directoryEstimation, hamtFanout } = recipe
  return {
    profile: profile === 'unixfs-v0-2015' ? profile : 'unixfs-v1-2025',
    cidVersion,
    rawLeaves,
    chunker: fixedSize({ chunkSize: chunkBytes }),
    shardSplitThresholdBytes: hamtThresholdBytes,
    shardSplitStrategy: directoryEstimation === 'links' ? 'links-bytes' : 'block-bytes',
    shardFanoutBits: Math.log2(hamtFanout),
    wrapWithDirectory: wrap,
    // Kubo's trickle DAGs have leaves of the type Raw, and a root of their own above a single one.
    ...(layout === 'trickle' ? { layout: trickle({ maxChildrenPerNode }), reduceSingleLeafToSelf: false, leafType: 'raw' } : { layout: balanced({ maxChildrenPerNode }) })
  }
}

/** A length at a boundary of the tree: so many full subtrees of chunks, and a byte or a chunk more or less. */
const lengthArbitrary = ({ chunkBytes, maxFileLinks }: Shape): fc.Arbitrary<number> => fc.tuple(fc.integer({ min: 0, max: 4 }), fc.integer({ min: 1, max: 5 }), fc.constantFrom(-chunkBytes, -1, 0, 1, chunkBytes), fc.boolean())
  .map(([depth, count, more, isAny]) => Math.max(0, Math.min(3000, isAny ? depth * 700 + count * 37 : count * chunkBytes * maxFileLinks ** depth + more)))

function bytesFrom (byteLength: number): Uint8Array {
  return Uint8Array.from({ length: byteLength }, (_, index) => (index * 31 + (index >> 8)) & 0xff)
}

test('files of every layout, width and length have the CIDs of the reference importer', async (context) => {
  // Beyond one level of inner nodes the reference importer repeats the attributes in each of them; Kubo keeps them in the root.
  const withAttributes = (shape: Shape): fc.Arbitrary<FileCase> => fc.record({ shape: fc.constant(shape), byteLength: fc.integer({ min: 0, max: shape.chunkBytes * shape.maxFileLinks }), attributes: attributesArbitrary })
  const cases = shapeArbitrary.chain((shape) => fc.oneof({ weight: 3, arbitrary: fc.record<FileCase>({ shape: fc.constant(shape), byteLength: lengthArbitrary(shape) }) }, { weight: 1, arbitrary: withAttributes(shape) }))
  await check(context, 0.5, fc.asyncProperty(cases, async ({ shape, byteLength, attributes }) => {
    // With attributes Kubo has no raw leaves; the reference importer leaves that to its caller.
    const recipe = recipeFrom(attributes === undefined ? shape : { ...shape, rawLeaves: false })
    // It expects the one leaf that becomes the root to be raw, and makes it a UnixFS node itself.
    const isOneLeaf = attributes !== undefined && recipe.layout === 'balanced' && byteLength <= shape.chunkBytes
    await compare(shape, recipe, [{ name: 'f', value: bytesFrom(byteLength), attributes }], false, isOneLeaf ? { rawLeaves: true } : {})
  }))
})

test('directories around the threshold are sharded when the reference importer shards them, into the same shards', async (context) => {
  const names = fc.uniqueArray(nameArbitrary, { minLength: 1, maxLength: 40 })
  await check(context, 0.3, fc.asyncProperty(shapeArbitrary, names, fc.constantFrom(-1, 0, 1), async (shape, list, offset) => {
    const entries = list.map((name, index) => ({ name, value: bytesFrom(index % 7) }))
    const threshold = await estimatedByteLength(recipeFrom(shape), entries) + offset
    await compare(shape, recipeFrom(shape, threshold), [{ name: 'd', value: entries }], false)
  }))
})

const { tree: treeArbitrary } = fc.letrec<{ tree: Entry[], entry: Entry }>((tie) => ({
  entry: fc.record({
    name: nameArbitrary,
    value: fc.oneof({ maxDepth: 3 }, fc.uint8Array({ maxLength: 200 }), fc.string({ minLength: 1, maxLength: 20 }), tie('tree'))
  }),
  tree: fc.uniqueArray(tie('entry'), { selector: ({ name }) => name, minLength: 1, maxLength: 6 })
}))

test('trees of files, symlinks and directories have the CIDs of the reference importer', async (context) => {
  await check(context, 0.2, fc.asyncProperty(shapeArbitrary, treeArbitrary, fc.boolean(), fc.boolean(), async (shape, tree, wrap, isSharded) => {
    await compare(shape, recipeFrom(shape, isSharded ? ALWAYS : undefined), [{ name: 'top', value: tree }], wrap)
  }))
})

async function check<T> (context: TestContext, share: number, property: fc.IAsyncProperty<T>): Promise<void> {
  context.diagnostic(`HOLDFAST_SEED=${SEED}`)
  await fc.assert(property, { numRuns: Math.ceil(RUNS * share), seed: SEED })
}

async function compare (shape: Shape, recipe: ImportRecipe, entries: readonly Entry[], wrap: boolean, more: ImporterOptions = {}): Promise<void> {
  const [root] = await importSources(discardingWriter, entries.map(sourceOf), recipe, { wrap })
  let expected = ''
  for await (const { cid } of importer(entries.flatMap((entry) => candidatesOf(entry, entry.name)), new BlackHoleBlockstore(), { ...oracleOptions(shape, recipe, wrap), ...more })) expected = cid.toString()
  assert.equal(root?.cid.toString(), expected)
}

/** What the threshold is compared with, worked out from the entries. */
async function estimatedByteLength (recipe: ImportRecipe, entries: readonly Entry[]): Promise<number> {
  const imported = await importSources(discardingWriter, entries.map(sourceOf), recipe)
  const links = imported.map(({ cid, tsize }, index) => ({ cid, tsize, name: Buffer.from(entries[index]?.name ?? '') }))
  if (recipe.directoryEstimation === 'links') return links.reduce((sum, { cid, name }) => sum + cid.bytes.byteLength + name.byteLength, 0)
  return encodeDagPb({ links, data: encodeUnixFs({ type: 'directory' }) }).byteLength
}

function sourceOf ({ name, value, attributes }: Entry): ImportSource {
  const common = { name: Buffer.from(name), attributes }
  if (typeof value === 'string') return { kind: 'symlink', ...common, target: Buffer.from(value) }
  if (value instanceof Uint8Array) return { kind: 'file', ...common, open: () => pieces(value) }
  return { kind: 'directory', ...common, async * entries () { yield * value.map(sourceOf) } }
}

function candidatesOf ({ value, attributes }: Entry, path: string): Candidate[] {
  const { mode, mtime } = attributes ?? {}
  const common = { path, ...(mode === undefined ? {} : { mode }), ...(mtime === undefined ? {} : { mtime: { secs: mtime.seconds, ...(mtime.nanoseconds === 0 ? {} : { nsecs: mtime.nanoseconds }) } }) }
  if (typeof value === 'string') return [{ ...common, link: value }]
  if (value instanceof Uint8Array) return [{ ...common, content: pieces(value) }]
  return value.flatMap((child) => candidatesOf(child, `${path}/${child.name}`))
}

async function * pieces (bytes: Uint8Array): AsyncIterable<Uint8Array> {
  for (let at = 0; at < bytes.byteLength; at += 97) yield bytes.subarray(at, at + 97)
}
