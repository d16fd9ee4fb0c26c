import { Block, cidToBase32, hasherNamed } from '@holdfast/core'
import { flagVectors, type FlagVector, type OptionVector, optionVectors, type VectorInput, vectorSource, writeVector } from '@holdfast/testkit'
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { type ImportRecipe, type RecipeOptions, recipeOf } from '../profile.ts'
import { openDiskSource } from './disk-source.ts'
import { discardingWriter, importSources } from './import-tree.ts'
import type { ImportAttributes, ImportSource } from './source.ts'

const CODEC_CODES: Readonly<Record<string, number>> = { raw: 0x55, 'dag-pb': 0x70, 'dag-cbor': 0x71 }

/** What each flag of a captured vector means for the recipe. */
const FLAGS: Readonly<Record<string, (value: string) => RecipeOptions>> = {
  '--chunker': (chunker) => ({ chunker }),
  '--max-file-links': (value) => ({ maxFileLinks: Number(value) }),
  '--max-directory-links': (value) => ({ maxDirectoryLinks: Number(value) }),
  '--max-hamt-fanout': (value) => ({ maxHamtFanout: Number(value) }),
  '--inline-limit': (value) => ({ inlineLimit: Number(value) }),
  '--cid-version': (value) => ({ cidVersion: Number(value) }),
  '--hash': (hash) => ({ hash })
}

describe('CIDs of Kubo\'s own tests', () => {
  for (const vector of optionVectors()) {
    test(vector.id, async () => { assert.equal(await cidOf(vector), vector.cid) })
  }
})

describe('CIDs captured from Kubo', () => {
  for (const vector of flagVectors()) {
    test(vector.id, async () => { assert.equal(await cidOfFlags(vector), vector.cid) })
  }
})

test('all vectors are there, each with a name of its own', () => {
  assert.equal(new Set([...optionVectors(), ...flagVectors()].map(({ id }) => id)).size, 125)
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
  const [root] = await importSources(discardingWriter, [vectorSource(input, 'v', { preserve: { mode: true, mtime: true } })], withDirectory(recipe, directory))
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

/** All of these were captured with `--only-hash`, where Kubo forgets the widths of the directory at the top. */
async function cidOfFlags ({ input, profile, flags }: FlagVector): Promise<string> {
  const rest = [...flags]
  const options: RecipeOptions = { profile, trickle: takeFlag(rest, '--trickle'), inline: takeFlag(rest, '--inline') }
  const wrap = takeFlag(rest, '-w')
  const emptyDirectories = !takeFlag(rest, '--empty-dirs=false')
  const dereference = takeFlag(rest, '--dereference-symlinks')
  const preserve = { mode: takeFlag(rest, '--preserve-mode') }
  const attributes = setAttributes(rest)
  while (rest.length > 0) {
    const [flag = '', value = ''] = rest.splice(0, 2)
    const parse = FLAGS[flag]
    assert.ok(parse, `flag ${flag}`)
    Object.assign(options, parse(value))
  }
  await using folder = await temporaryFolder()
  const made = dereference ? await openWritten(folder.path, input) : vectorSource(input, 'v', { preserve })
  const source = made.kind === 'file' && attributes !== undefined ? { ...made, attributes } : made
  const [root] = await importSources(discardingWriter, [source], recipeOf(options), { wrap, emptyDirectories, ignoreWidthsAtTop: true })
  assert.ok(root)
  return root.cid.toString()
}

/** What `--mode`, `--mtime` and `--mtime-nsecs` set. */
function setAttributes (flags: string[]): ImportAttributes | undefined {
  const [mode, seconds, nanoseconds] = ['--mode', '--mtime', '--mtime-nsecs'].map((flag) => {
    const at = flags.indexOf(flag)
    return at < 0 ? undefined : flags.splice(at, 2)[1]
  })
  const mtime = seconds === undefined ? undefined : { seconds: BigInt(seconds), nanoseconds: Number(nanoseconds ?? 0) }
  return mode === undefined && mtime === undefined ? undefined : { mode: mode === undefined ? undefined : Number.parseInt(mode, 8), mtime }
}

/** On the disk the symlinks of a vector lead somewhere. */
async function openWritten (folder: string, input: VectorInput): Promise<ImportSource> {
  await writeVector(join(folder, 'v'), input)
  return await openDiskSource(join(folder, 'v'), { dereference: 'all' })
}

async function temporaryFolder (): Promise<{ path: string } & AsyncDisposable> {
  const path = await mkdtemp(join(tmpdir(), 'holdfast-'))
  return { path, async [Symbol.asyncDispose] () { await rm(path, { recursive: true, force: true }) } }
}

function takeFlag (flags: string[], flag: string): boolean {
  const at = flags.indexOf(flag)
  if (at >= 0) flags.splice(at, 1)
  return at >= 0
}
