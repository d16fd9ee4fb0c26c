import { Block, cidToBase32, hasherNamed } from '@holdfast/core'
import { flagVectors, type FlagVector, type OptionVector, optionVectors, vectorSource } from '@holdfast/testkit'
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { type ImportRecipe, type RecipeOptions, recipeOf } from '../profile.ts'
import { discardingWriter, importSources } from './import-tree.ts'

const CODEC_CODES: Readonly<Record<string, number>> = { raw: 0x55, 'dag-pb': 0x70, 'dag-cbor': 0x71 }

/** What each flag of a captured vector means for the recipe; a flag that is missing here is not built yet. */
const FLAGS: Readonly<Record<string, (value: string) => RecipeOptions>> = {
  '--chunker': (chunker) => ({ chunker }),
  '--max-file-links': (value) => ({ maxFileLinks: Number(value) }),
  '--cid-version': (value) => ({ cidVersion: Number(value) }),
  '--hash': (hash) => ({ hash })
}

/** Vectors that need chunkers, layouts and metadata which come with a later issue, by name. */
const LATER: ReadonlySet<string> = new Set([
  // Modes and times.
  'empty-mode0640', 'empty-mtime', 'empty-mode+mtime', 'empty-mode0764', 'empty-mtime2', 'empty-mtime-ns',
  'symlink-mtime', 'captured-mode-unixfs-v0-2015', 'captured-set-mode', 'captured-set-mtime',
  // Chunkers.
  'captured-buzhash-0', 'captured-buzhash-16777216', 'captured-buzhash-262144', 'captured-buzhash-3000000',
  'captured-buzhash-v1-2000000', 'captured-buzhash-v1-9000000', 'captured-rabin-0', 'captured-rabin-1',
  'captured-rabin-1048577', 'captured-rabin-131071', 'captured-rabin-262144', 'captured-rabin-3000000',
  'captured-rabin-avg-2000000', 'captured-rabin-avg-9000000', 'captured-rabin-custom-9000000',
  // Directory widths and fanouts.
  'captured-hamt-fanout-1024', 'captured-hamt-fanout-16', 'captured-hamt-fanout-8', 'captured-maxdir4-4',
  'captured-maxdir4-5', 'captured-maxdir4-50',
  // Inline.
  'captured-inline-128-at', 'captured-inline-16-over', 'captured-inline-32-over',
  // Dereferencing.
  'captured-tree-deref-unixfs-v1-2025',
  // Trickle layout.
  'captured-trickle-0', 'captured-trickle-1000', 'captured-trickle-262145', 'captured-trickle-46137344',
  'captured-trickle-5000000', 'captured-trickle-60000000', 'captured-trickle-small-width-2',
  'captured-trickle-v1-50000000'
])

describe('CIDs of Kubo\'s own tests', () => {
  for (const vector of optionVectors()) {
    if (LATER.has(vector.id)) continue
    test(vector.id, async () => { assert.equal(await cidOf(vector), vector.cid) })
  }
})

describe('CIDs captured from Kubo', () => {
  for (const vector of flagVectors()) {
    if (LATER.has(vector.id)) continue
    test(vector.id, async () => { assert.equal(await cidOfFlags(vector), vector.cid) })
  }
})

test('every vector is either reproduced here or named as coming later', () => {
  const ids = new Set([...optionVectors(), ...flagVectors()].map(({ id }) => id))
  assert.equal(ids.size, 125)
  assert.deepEqual([...LATER].filter((id) => !ids.has(id)), [])
  assert.equal(LATER.size, 43)
})

async function cidOf ({ input, options }: OptionVector): Promise<string> {
  if (input.type === 'block') {
    const version = options.cidVersion === 1 ? 1 : 0
    const block = await Block.of(Buffer.from(input.hex, 'hex'), { codec: CODEC_CODES[input.codec] ?? 0, version })
    return block.cid.toString()
  }
  const { profile, cidVersion, rawLeaves = impliedRawLeaves(options), hash, directory, printAs } = options
  const recipe = recipeOf({
    profile: profile === undefined ? 'unixfs-v0-2015' : String(profile),
    cidVersion: cidVersion === undefined ? undefined : Number(cidVersion),
    rawLeaves: rawLeaves === undefined ? undefined : rawLeaves === true,
    hash: hash === undefined ? undefined : hasherNamed(String(hash)).name
  })
  const [root] = await importSources(discardingWriter, [vectorSource(input)], withDirectory(recipe, directory))
  assert.ok(root)
  return printAs === 'cidv1-base32' ? cidToBase32(root.cid) : root.cid.toString()
}

/** Kubo without a profile: version 1 and any hash but sha2-256 mean raw leaves. */
function impliedRawLeaves ({ profile, cidVersion, hash }: OptionVector['options']): boolean | undefined {
  return profile === undefined && (cidVersion === 1 || hash !== undefined) ? true : undefined
}

/** Kubo's tests force the kind of a directory by its threshold. */
function withDirectory (recipe: ImportRecipe, directory: unknown): ImportRecipe {
  if (directory === 'hamt') return { ...recipe, hamtThresholdBytes: 0 }
  return directory === 'basic' ? { ...recipe, hamtThresholdBytes: Infinity } : recipe
}

async function cidOfFlags ({ input, profile, flags }: FlagVector): Promise<string> {
  const options: RecipeOptions = { profile }
  const rest = [...flags]
  const wrap = takeFlag(rest, '-w')
  const emptyDirectories = !takeFlag(rest, '--empty-dirs=false')
  while (rest.length > 0) {
    const [flag = '', value = ''] = rest.splice(0, 2)
    const parse = FLAGS[flag]
    assert.ok(parse, `flag ${flag}`)
    Object.assign(options, parse(value))
  }
  const [root] = await importSources(discardingWriter, [vectorSource(input)], recipeOf(options), { wrap, emptyDirectories })
  assert.ok(root)
  return root.cid.toString()
}

function takeFlag (flags: string[], flag: string): boolean {
  const at = flags.indexOf(flag)
  if (at >= 0) flags.splice(at, 1)
  return at >= 0
}
