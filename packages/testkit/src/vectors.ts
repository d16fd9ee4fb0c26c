import { createCipheriv, createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { mkdir, symlink, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'

/** The input of a vector as its file describes it. */
export type VectorInput =
  | { readonly type: 'file', readonly utf8?: string, readonly chacha20?: KeyStream, readonly mode?: number, readonly mtime?: readonly number[] }
  | { readonly type: 'dir', readonly entries: Readonly<Record<string, VectorInput>>, readonly mode?: number, readonly mtime?: readonly number[] }
  | { readonly type: 'symlink', readonly target: string, readonly mtime?: readonly number[] }
  | { readonly type: 'gendir', readonly name: { readonly prefix: string, readonly pad: number }, readonly from: number, readonly to: number, readonly content: string }
  | { readonly type: 'detdir', readonly seed: string, readonly count: number, readonly nameLen: number, readonly lastNameLen: number, readonly content: string }
  | { readonly type: 'block', readonly hex: string, readonly codec: string }

/** ChaCha20 key stream: key = SHA-256 of the seed, nonce and counter zero. */
export interface KeyStream {
  readonly seed: string
  readonly size: number
}

/** A vector of `unixfs-cids.json`. */
export interface OptionVector {
  readonly id: string
  readonly input: VectorInput
  readonly options: Readonly<Record<string, string | number | boolean>>
  readonly cid: string
  readonly source: string
}

/** A vector of `captured-unixfs-cids.json`. */
export interface FlagVector {
  readonly id: string
  readonly input: VectorInput
  readonly profile: string
  readonly flags: readonly string[]
  readonly cid: string
}

/** A tree as an importer reads it; shaped as `ImportSource` of @holdfast/dag. */
export type VectorSource =
  | { readonly kind: 'file', readonly name: Uint8Array, readonly attributes: VectorAttributes, open(): AsyncIterable<Uint8Array> }
  | { readonly kind: 'directory', readonly name: Uint8Array, readonly attributes: VectorAttributes, entries(): AsyncIterable<VectorSource> }
  | { readonly kind: 'symlink', readonly name: Uint8Array, readonly attributes: VectorAttributes, readonly target: Uint8Array }

/** What an entry has beside its content; shaped as `ImportAttributes` of @holdfast/dag. */
export interface VectorAttributes {
  readonly mode?: number | undefined
  readonly mtime?: { readonly seconds: bigint, readonly nanoseconds: number } | undefined
}

export interface VectorSourceOptions {
  /** Keep entries whose name begins with a dot. @default false */
  readonly hidden?: boolean
  /** What of modes and times the entries get; nothing by default, as `ipfs add` does. */
  readonly preserve?: { readonly mode?: boolean, readonly mtime?: boolean }
}

/** The vectors that Kubo's own tests state. */
export function optionVectors (): OptionVector[] {
  return (readJson('unixfs-cids.json') as { vectors: OptionVector[] }).vectors
}

/** The vectors that were captured from a running Kubo. */
export function flagVectors (): FlagVector[] {
  return (readJson('captured-unixfs-cids.json') as { vectors: FlagVector[] }).vectors
}

/** Makes the tree of a vector. Hidden entries are left out unless `hidden`, as `ipfs add` does. */
export function vectorSource (input: VectorInput, name = 'v', options: VectorSourceOptions = {}): VectorSource {
  const { hidden = false } = options
  const bytes = Buffer.from(name)
  const attributes = attributesOf(input, options)
  switch (input.type) {
    case 'file': return { kind: 'file', name: bytes, attributes, open: () => input.chacha20 === undefined ? once(Buffer.from(input.utf8 ?? '')) : keyStream(input.chacha20) }
    case 'symlink': return { kind: 'symlink', name: bytes, attributes, target: Buffer.from(input.target) }
    case 'dir': {
      const children = Object.entries(input.entries).filter(([child]) => hidden || !child.startsWith('.'))
      return { kind: 'directory', name: bytes, attributes, entries: () => each(children.map(([child, value]) => vectorSource(value, child, options))) }
    }
    case 'gendir': return { kind: 'directory', name: bytes, attributes, entries: () => generatedEntries(input) }
    case 'detdir': return { kind: 'directory', name: bytes, attributes, entries: () => deterministicEntries(input) }
    case 'block': throw new Error('A block is no tree')
  }
}

/** Writes the tree of a vector to the disk, hidden entries too, without its modes and times. */
export async function writeVector (path: string, input: VectorInput): Promise<void> {
  await writeSource(path, vectorSource(input, basename(path), { hidden: true }))
}

async function writeSource (path: string, source: VectorSource): Promise<void> {
  switch (source.kind) {
    case 'file': return await writeFile(path, source.open())
    case 'symlink': return await symlink(Buffer.from(source.target), path)
    case 'directory': {
      await mkdir(path, { recursive: true })
      for await (const child of source.entries()) await writeSource(join(path, Buffer.from(child.name).toString()), child)
    }
  }
}

function attributesOf (input: VectorInput, { preserve = {} }: VectorSourceOptions): VectorAttributes {
  const mode = preserve.mode === true && 'mode' in input ? input.mode : undefined
  const [seconds, nanoseconds = 0] = preserve.mtime === true && 'mtime' in input ? input.mtime ?? [] : []
  return { mode, mtime: seconds === undefined ? undefined : { seconds: BigInt(seconds), nanoseconds } }
}

/** Yields the first `size` bytes of the key stream, 1 MiB at a time. */
export async function * keyStream ({ seed, size }: KeyStream): AsyncIterable<Uint8Array> {
  const next = keyStreamReader(seed)
  for (let left = size; left > 0;) {
    const piece = next(Math.min(left, 1 << 20))
    left -= piece.byteLength
    yield piece
  }
}

function keyStreamReader (seed: string): (byteLength: number) => Buffer {
  const cipher = createCipheriv('chacha20', createHash('sha256').update(seed).digest(), Buffer.alloc(16))
  return (byteLength) => cipher.update(Buffer.alloc(byteLength))
}

async function * generatedEntries ({ name, from, to }: { name: { prefix: string, pad: number }, from: number, to: number }): AsyncIterable<VectorSource> {
  for (let index = from; index <= to; index++) {
    yield vectorSource({ type: 'file', utf8: `${index}\n` }, name.prefix + String(index).padStart(name.pad, '0'))
  }
}

const NAME_ALPHABET = 'abcdefghijklmnopqrstuvwxyz01234567890-_'

async function * deterministicEntries ({ seed, count, nameLen, lastNameLen, content }: { seed: string, count: number, nameLen: number, lastNameLen: number, content: string }): AsyncIterable<VectorSource> {
  const next = keyStreamReader(seed)
  for (let index = 0; index < count; index++) {
    const bytes = next(index === count - 1 ? lastNameLen : nameLen)
    yield vectorSource({ type: 'file', utf8: content }, Array.from(bytes, (byte) => NAME_ALPHABET[byte % NAME_ALPHABET.length]).join(''))
  }
}

async function * once (bytes: Uint8Array): AsyncIterable<Uint8Array> {
  if (bytes.byteLength > 0) yield bytes
}

async function * each<T> (values: readonly T[]): AsyncIterable<T> {
  yield * values
}

function readJson (name: string): unknown {
  return JSON.parse(readFileSync(new URL(`../vectors/${name}`, import.meta.url), 'utf8'))
}
