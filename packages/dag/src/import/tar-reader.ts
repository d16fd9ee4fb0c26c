/**
 * Tar archives as a stream: ustar, with the extensions of pax and GNU for long names.
 *
 * ```
 * entry    header (512 bytes) · content, filled up to a multiple of 512
 * header   name 100 · mode 8 · uid 8 · gid 8 · length 12 · mtime 12 · checksum 8 · type 1 · link name 100 · "ustar" 6 · … · prefix 155 at 345
 * numbers  octal text, or with the highest bit set a big-endian number
 * end      two blocks of zeros
 * ```
 *
 * @see POSIX.1-2017 pax §"ustar Interchange Format", §"pax Extended Header"; GNU tar manual §"Basic Tar Format"
 */
import { HoldfastError } from '@holdfast/core'
import { isUtf8 } from 'node:buffer'
import { PieceReader } from './piece-reader.ts'

const BLOCK_BYTES = 512

/** Longest extended header in bytes: paths have at most 4 KiB on any system, and few attributes beside. */
const MAX_EXTENSION_BYTES: number = 64 * 1024

/** One entry of an archive. Its content has to be read, or left, before the next entry is asked for. */
export interface TarEntry {
  readonly kind: 'file' | 'directory' | 'symlink' | 'hard-link'
  readonly path: string
  readonly mode: number
  /** Seconds since 1970, the fraction cut off. */
  readonly mtimeSeconds: bigint
  /** Where a symlink points, or the path of the entry that a hard link is another name of. */
  readonly target: Buffer
  readonly content: AsyncIterable<Uint8Array>
}

/** What an extended header says about the entry behind it. */
type Attributes = ReadonlyMap<string, Buffer>

/**
 * Reads the entries of an archive as they come.
 *
 * @throws `INVALID` for bytes that are no archive or one that is cut short, `LIMIT` for headers that are too long, `UNSUPPORTED`
 * for devices, pipes and sparse files.
 */
export async function * tarEntries (archive: AsyncIterable<Uint8Array>): AsyncGenerator<TarEntry> {
  const reader = new PieceReader(archive, () => malformed('it is cut short'))
  const forAll = new Map<string, Buffer>()
  let forNext = new Map<string, Buffer>()
  for (;;) {
    const header = await reader.take(BLOCK_BYTES)
    if (isZero(header)) return
    requireChecksum(header)
    const type = String.fromCharCode(header[TYPE_AT] ?? 0)
    const extended = EXTENSIONS.get(type)
    if (extended === undefined) {
      yield * entryOf(header, type, new Map([...forAll, ...forNext]), reader)
      forNext = new Map()
    } else for (const [key, value] of extended(await extensionOf(header, reader))) (type === 'g' ? forAll : forNext).set(key, value)
  }
}

async function * entryOf (header: Buffer, type: string, attributes: Attributes, reader: PieceReader): AsyncGenerator<TarEntry> {
  const prefix = header.toString('latin1', MAGIC_AT, MAGIC_AT + 5) === 'ustar' && header[MAGIC_AT + 5] === 0 ? fieldOf(header, 345, 155) : Buffer.alloc(0)
  const name = fieldOf(header, 0, 100)
  const path = textOf(attributes.get('path') ?? (prefix.byteLength === 0 ? name : Buffer.concat([prefix, Buffer.from('/'), name])))
  const kind = path.endsWith('/') && (type === '0' || type === '\0') ? 'directory' : KINDS.get(type)
  if (kind === undefined || [...attributes.keys()].some((key) => key.startsWith('GNU.sparse.'))) {
    throw new HoldfastError('UNSUPPORTED', `${JSON.stringify(path)} in the tar archive is no file, directory or link; leave it out of the archive`, { path })
  }
  // Of links and directories the length means nothing.
  const byteLength = kind === 'file' ? lengthOf(attributes.get('size'), header) : 0
  const content = reader.stream(byteLength)
  yield { kind, path, mode: numberOf(header, 100, 8) & 0o7777, mtimeSeconds: timeOf(attributes.get('mtime'), header), target: attributes.get('linkpath') ?? fieldOf(header, 157, 100), content }
  await reader.leave()
  await reader.skip(paddingOf(byteLength))
}

const TYPE_AT = 156
const MAGIC_AT = 257

const KINDS: ReadonlyMap<string, TarEntry['kind']> = new Map([['0', 'file'], ['\0', 'file'], ['7', 'file'], ['5', 'directory'], ['2', 'symlink'], ['1', 'hard-link']])

/** Headers that say something about those behind them, by type. */
const EXTENSIONS: ReadonlyMap<string, (content: Buffer) => Attributes> = new Map([
  ['x', paxRecords],
  ['g', paxRecords],
  ['L', (content): Attributes => new Map([['path', untilZero(content)]])],
  ['K', (content): Attributes => new Map([['linkpath', untilZero(content)]])]
])

/** Records of the form `LENGTH KEY=VALUE\n`, where the length counts the whole record. */
function paxRecords (content: Buffer): Attributes {
  const records = new Map<string, Buffer>()
  for (let at = 0; at < content.byteLength;) {
    const blank = content.indexOf(0x20, at)
    const digits = blank < 0 ? '' : content.toString('latin1', at, blank)
    const end = at + Number(digits)
    const equals = content.indexOf(0x3d, blank)
    if (!/^\d{1,6}$/.test(digits) || end > content.byteLength || equals < 0 || equals >= end || content[end - 1] !== 0x0a) throw malformed('an extended header cannot be read')
    records.set(content.toString('utf8', blank + 1, equals), content.subarray(equals + 1, end - 1))
    at = end
  }
  return records
}

async function extensionOf (header: Buffer, reader: PieceReader): Promise<Buffer> {
  const byteLength = numberOf(header, 124, 12)
  if (byteLength > MAX_EXTENSION_BYTES) throw new HoldfastError('LIMIT', `A header of the tar archive has ${byteLength} bytes, more than ${MAX_EXTENSION_BYTES}`, { byteLength })
  const content = await reader.take(byteLength)
  await reader.skip(paddingOf(byteLength))
  return content
}

function lengthOf (attribute: Buffer | undefined, header: Buffer): number {
  if (attribute === undefined) return numberOf(header, 124, 12)
  const text = attribute.toString('latin1')
  if (!/^\d{1,15}$/.test(text)) throw malformed('a length is no number')
  return Number(text)
}

function timeOf (attribute: Buffer | undefined, header: Buffer): bigint {
  if (attribute === undefined) return BigInt(numberOf(header, 136, 12))
  const [, seconds] = /^(-?\d{1,15})(?:\.\d*)?$/.exec(attribute.toString('latin1')) ?? []
  if (seconds === undefined) throw malformed('a time is no number')
  return BigInt(seconds)
}

/** A number of a header: octal digits between blanks, or binary with the highest bit set. */
function numberOf (header: Buffer, at: number, length: number): number {
  if (((header[at] ?? 0) & 0x80) !== 0) {
    const value = header.subarray(at + 1, at + length).reduce((sum, byte) => sum * 0x100 + byte, (header[at] ?? 0) & 0x7f)
    if (!Number.isSafeInteger(value)) throw malformed('a number is out of range')
    return value
  }
  const text = untilZero(header.subarray(at, at + length)).toString('latin1').trim()
  if (!/^[0-7]*$/.test(text)) throw malformed('a number cannot be read')
  return text === '' ? 0 : Number.parseInt(text, 8)
}

/** The sum of all bytes, those of the checksum itself counted as blanks. */
function requireChecksum (header: Buffer): void {
  const sum = header.reduce((sum, byte, at) => sum + (at >= 148 && at < 156 ? 0x20 : byte), 0)
  if (numberOf(header, 148, 8) !== sum) throw malformed('the checksum of a header is wrong')
}

function fieldOf (header: Buffer, at: number, length: number): Buffer {
  return Buffer.from(untilZero(header.subarray(at, at + length)))
}

function untilZero (bytes: Buffer): Buffer {
  const end = bytes.indexOf(0)
  return end < 0 ? bytes : bytes.subarray(0, end)
}

function textOf (bytes: Buffer): string {
  if (!isUtf8(bytes)) throw new HoldfastError('INVALID', `The tar archive has a name that is not UTF-8: ${JSON.stringify(bytes.toString())}. Rename it`)
  return bytes.toString()
}

function paddingOf (byteLength: number): number {
  return (BLOCK_BYTES - byteLength % BLOCK_BYTES) % BLOCK_BYTES
}

function isZero (block: Buffer): boolean {
  return block.every((byte) => byte === 0)
}

function malformed (why: string): HoldfastError {
  return new HoldfastError('INVALID', `The tar archive cannot be read: ${why}`)
}
