import type { BlockReader } from '@holdfast/blockstore'
import { HoldfastError, type Logger } from '@holdfast/core'
import { type DagEntry, listDirectory, openEntry, parseContentPath, readFile, resolvePath, type UnixFsTime, walkDag } from '@holdfast/dag'
import type { CID } from 'multiformats/cid'
import type { ApiNode } from '../api-node.ts'
import { type Exchange, progressReporter } from '../exchange.ts'
import type { ArgsOf, EntryEvent, EventOf, ProgressEvent } from '../operations.ts'
import { openFound, openReader } from './open-reader.ts'
import { sendPlaces } from './places.ts'

/** Finds the CID that a path names and what it is. */
export async function locate (blocks: BlockReader, path: string, signal: AbortSignal): Promise<DagEntry> {
  const { root, segments } = parseContentPath(path)
  const { cid, remainder } = await resolvePath(blocks, root, segments, { signal })
  if (remainder.length > 0) {
    throw new HoldfastError('UNSUPPORTED', `Path ${path} leads into a value of ${cid} that is not a link: /${remainder.join('/')}`, { path })
  }
  return await openEntry(blocks, cid, { signal })
}

/** Finds the CID that a path names, and the reader to go on with; `walk` when all below will be read. A bare CID needs no block of its own. */
export async function locateBlock (node: ApiNode, path: string, exchange: Pick<Exchange<ProgressEvent>, 'signal' | 'emit'>, { walk }: { readonly walk: boolean }): Promise<{ cid: CID, blocks: BlockReader & Disposable }> {
  const { root, segments } = parseContentPath(path)
  const { found, reader } = await openFound(node, path, exchange, { walk, find: async (blocks) => await resolvePath(blocks, root, segments, exchange) })
  if (found.remainder.length === 0) return { cid: found.cid, blocks: reader }
  reader[Symbol.dispose]()
  throw new HoldfastError('INVALID', `Path ${path} does not name a block`, { path })
}

export async function cat (node: ApiNode, { path, offset = 0, length, places = false }: ArgsOf<'cat'>, exchange: Exchange<EventOf<'cat'>>): Promise<void> {
  const { signal } = exchange
  const walk = offset === 0 && length === undefined
  const { found: entry, reader } = await openFound(node, path, exchange, { walk, find: async (blocks) => await locate(blocks, path, signal) })
  using blocks = reader
  const totalByteLength = Math.max(0, Math.min(length ?? Infinity, printableByteLength(entry, path) - offset))
  const placedByteLength = places && entry.kind === 'file' ? await sendPlaces(node, blocks, { cid: entry.cid, span: { start: offset, end: offset + totalByteLength } }, exchange) : 0
  if (placedByteLength === totalByteLength) return
  const report = progressReporter(exchange)
  let byteLength = placedByteLength
  for await (const piece of printedContent(blocks, entry, { offset: offset + placedByteLength, length: totalByteLength - placedByteLength, signal })) {
    await exchange.send(piece)
    byteLength += piece.byteLength
    report({ byteLength, totalByteLength })
  }
}

/** How many bytes `cat` prints of an entry as a whole. @throws `INVALID` for a directory. */
export function printableByteLength (entry: DagEntry, path: string): number {
  if (entry.kind === 'directory') throw new HoldfastError('INVALID', `Cannot print ${path}: it is a directory. List it with ls, or fetch it with get`, { path })
  return entry.kind === 'symlink' ? Buffer.byteLength(entry.target) : entry.byteLength
}

/** What `cat` prints of an entry: the content of a file, the target of a symlink, the block of anything else. */
export async function * printedContent (blocks: BlockReader, entry: DagEntry, { offset, length, signal }: { offset: number, length?: number | undefined, signal: AbortSignal }): AsyncIterable<Uint8Array> {
  if (entry.kind === 'file') return yield * readFile(blocks, entry.cid, { offset, byteLength: length, signal })
  const whole = entry.kind === 'symlink' ? Buffer.from(entry.target) : await bytesOf(blocks, entry.cid, signal)
  const part = whole.subarray(offset, length === undefined ? undefined : offset + length)
  if (part.byteLength > 0) yield part
}

export async function ls (node: ApiNode, { path, size }: ArgsOf<'ls'>, exchange: Exchange<EventOf<'ls'>>): Promise<void> {
  const { signal } = exchange
  using blocks = openReader(node, path, exchange)
  const entry = await locate(blocks, path, signal)
  if (entry.kind !== 'directory') return await exchange.emit(entryEvent(entry, ''))
  for await (const { name, cid, tsize } of listDirectory(blocks, entry.cid, { signal })) {
    // Without the child's own block its kind is a guess from its codec; asking for sizes reads it.
    if (size === false) await exchange.emit({ kind: 'file', cid: cid.toString(), path: name, byteLength: tsize })
    else await exchange.emit(await childEvent({ blocks, log: node.log }, { cid, name, tsize }, signal))
  }
}

export async function stat (node: ApiNode, { path, dag }: ArgsOf<'stat'>, exchange: Exchange<EventOf<'stat'>>): Promise<void> {
  const { signal } = exchange
  const { found: entry, reader } = await openFound(node, path, exchange, { walk: dag !== false, find: async (blocks) => await locate(blocks, path, signal) })
  using blocks = reader
  const event = entryEvent(entry, path)
  if (dag === false) return await exchange.emit({ stat: event })
  const report = progressReporter(exchange)
  let blockCount = 0
  let blockByteLength = 0
  for await (const { bytes } of walkDag(blocks, [entry.cid], { signal })) {
    blockCount++
    blockByteLength += bytes.byteLength
    report({ blockCount, byteLength: blockByteLength })
  }
  await exchange.emit({ stat: { ...event, blockCount, blockByteLength } })
}

async function bytesOf (blocks: BlockReader, cid: CID, signal: AbortSignal): Promise<Uint8Array> {
  const block = await blocks.get(cid, { signal })
  return block?.bytes ?? new Uint8Array()
}

/** A listing goes on where one entry is missing or damaged: its line says so by its kind. */
async function childEvent ({ blocks, log }: { blocks: BlockReader, log: Logger }, { cid, name, tsize }: { cid: CID, name: string, tsize: number | undefined }, signal: AbortSignal): Promise<EntryEvent> {
  try {
    const event = entryEvent(await openEntry(blocks, cid, { signal }), name)
    return event.kind === 'directory' ? { ...event, byteLength: tsize } : event
  } catch (err) {
    signal.throwIfAborted()
    log.debug('Entry of a listing could not be read', { cid: cid.toString(), err })
    return { kind: 'opaque', cid: cid.toString(), path: name, byteLength: tsize }
  }
}

function entryEvent (entry: DagEntry, path: string): EntryEvent {
  const cid = entry.cid.toString()
  if (entry.kind === 'ipld' || entry.kind === 'opaque') return { kind: entry.kind, cid, path, byteLength: entry.byteLength }
  const common = { cid, path, mode: entry.mode, mtimeSeconds: secondsOf(entry.mtime) }
  switch (entry.kind) {
    case 'file': return { kind: 'file', ...common, byteLength: entry.byteLength }
    case 'directory': return { kind: 'directory', ...common }
    case 'symlink': return { kind: 'symlink', ...common, target: entry.target }
  }
}

/** A time of UnixFS as events carry it. */
export function secondsOf (time: UnixFsTime | undefined): number | undefined {
  return time === undefined ? undefined : Number(time.seconds) + time.nanoseconds / 1e9
}
