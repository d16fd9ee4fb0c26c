import type { BlockReader } from '@holdfast/blockstore'
import { HoldfastError } from '@holdfast/core'
import { readTree, type TreeEntry } from '@holdfast/dag'
import type { CID } from 'multiformats/cid'
import type { ApiNode } from '../api-node.ts'
import { type Exchange, progressReporter } from '../exchange.ts'
import type { ArgsOf, EntryEvent, EventOf, ProgressEvent } from '../operations.ts'
import { archiveOf } from './archive.ts'
import { openFound } from './open-reader.ts'
import { locate, secondsOf } from './read.ts'

type GetExchange = Exchange<EventOf<'get'>>
type FileEntry = Extract<TreeEntry, { kind: 'file' }>

/** Sends a file or a tree: entry by entry with what they hold, or as an archive. */
export async function get (node: ApiNode, args: ArgsOf<'get'>, exchange: GetExchange): Promise<void> {
  const { path, archive, compress } = args
  const { signal } = exchange
  const { found: root, reader } = await openFound(node, path, exchange, { walk: true, find: async (blocks) => await locate(blocks, path, signal) })
  using blocks = reader
  // Of a directory only its blocks could be counted, by a walk: its progress is told without a total.
  const total = root.kind === 'file' && compress !== true ? { totalByteLength: root.byteLength } : {}
  if (archive === true || compress === true) return await sendAll(archiveOf(blocks, root, { ...args, signal }), exchange)
  await sendTree(blocks, root.cid, { ...args, total }, exchange)
}

async function sendAll (bytes: AsyncIterable<Uint8Array>, exchange: GetExchange): Promise<void> {
  const report = progressReporter(exchange)
  let byteLength = 0
  for await (const piece of bytes) {
    await exchange.send(piece)
    report({ byteLength: byteLength += piece.byteLength })
  }
}

async function sendTree (blocks: BlockReader, cid: CID, { resume = false, total }: { readonly resume?: boolean | undefined, readonly total: ProgressEvent['progress'] }, exchange: GetExchange): Promise<void> {
  const report = progressReporter(exchange)
  const numbers = new NumberLines(exchange.body)
  let byteLength = 0
  let fileCount = 0
  for await (const entry of readTree(blocks, cid, exchange)) {
    await exchange.emit({ entry: entryEvent(entry, cid) })
    if (entry.kind !== 'file') continue
    const offset = resume ? await agreeOnOffset(entry, numbers, exchange) : 0
    byteLength += offset
    for await (const piece of offset > 0 ? entry.known?.from(offset) ?? [] : entry.content) {
      await exchange.send(piece)
      byteLength += piece.byteLength
      report({ byteLength, fileCount, ...total })
    }
    report({ byteLength, fileCount: ++fileCount, ...total })
  }
}

/** Tells what the bytes that the caller has must be, and is told from where on it wants them. */
async function agreeOnOffset ({ byteLength, known, path }: FileEntry, numbers: NumberLines, exchange: GetExchange): Promise<number> {
  const had = await numbers.next(byteLength)
  if (had === 0) return 0
  if (known === undefined) throw new HoldfastError('UNSUPPORTED', `${JSON.stringify(path.join('/'))} cannot be taken up in the middle`)
  for await (const part of known.leaves(had)) {
    if ('bytes' in part) {
      await exchange.emit({ node: { start: part.start, byteLength: part.bytes.byteLength } })
      await exchange.send(part.bytes)
    } else {
      await exchange.emit({ leaf: { cid: part.cid.toString(), start: part.start, byteLength: part.byteLength } })
    }
  }
  await exchange.emit({ checked: true })
  return await numbers.next(byteLength)
}

/** Digits of the longest file there can be. */
const MAX_NUMBER_CHARACTERS = 16

/** Reads what the caller says meanwhile: a number a line. */
class NumberLines {
  readonly #source: AsyncIterator<Uint8Array>
  #rest = ''

  constructor (source: AsyncIterable<Uint8Array>) {
    this.#source = source[Symbol.asyncIterator]()
  }

  /** @throws `INVALID` for what is not a whole number up to `max`, and when nothing follows. */
  async next (max: number): Promise<number> {
    while (!this.#rest.includes('\n') && this.#rest.length <= MAX_NUMBER_CHARACTERS) {
      const next = await this.#source.next()
      if (next.done === true) throw new HoldfastError('INVALID', 'The caller did not say what it has')
      this.#rest += Buffer.from(next.value).toString('latin1')
    }
    const [line = ''] = this.#rest.split('\n', 1)
    this.#rest = this.#rest.slice(line.length + 1)
    const number = /^\d{1,16}$/.test(line) ? Number(line) : NaN
    if (!(number <= max)) throw new HoldfastError('INVALID', `The caller says that it has ${JSON.stringify(line.slice(0, 32))} of ${max} bytes`)
    return number
  }
}

function entryEvent (entry: TreeEntry, root: CID): EntryEvent {
  const common = { cid: root.toString(), path: entry.path.join('/'), mode: entry.mode, mtimeSeconds: secondsOf(entry.mtime) }
  switch (entry.kind) {
    case 'file': return { kind: 'file', ...common, byteLength: entry.byteLength }
    case 'directory': return { kind: 'directory', ...common }
    case 'symlink': return { kind: 'symlink', ...common, target: entry.target }
  }
}
