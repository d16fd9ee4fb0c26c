import { encodeCarHeader, encodeCarSection, readCar } from '@holdfast/car'
import { type Block, HoldfastError } from '@holdfast/core'
import { BlockSink, measurePath, requireBlock, walkDag } from '@holdfast/dag'
import { type Lease, leasedWriter, pinDag } from '@holdfast/pins'
import type { CID } from 'multiformats/cid'
import { createReadStream } from 'node:fs'
import { isAbsolute } from 'node:path'
import type { ApiNode } from '../api-node.ts'
import { type Exchange, progressReporter } from '../exchange.ts'
import type { ArgsOf, EventOf, ProgressEvent } from '../operations.ts'
import { openFound } from './open-reader.ts'
import { locate } from './read.ts'

/** Bytes that one read of a CAR file asks for. */
const READ_BYTES: number = 1024 * 1024

interface Archive {
  /** Where it comes from, for whoever asked. */
  readonly source: string
  readonly bytes: AsyncIterable<Uint8Array>
  readonly totalByteLength?: number
}

/**
 * Imports CAR archives: blocks durable first, roots pinned last.
 *
 * A broken archive keeps its good blocks, without a pin, so that another try is short; its roots stay unpinned.
 */
export async function dagImport (node: ApiNode, { paths, pinRoots, name }: ArgsOf<'dag-import'>, exchange: Exchange<EventOf<'dag-import'>>): Promise<void> {
  const archives: Archive[] = paths.length === 0
    ? [{ source: 'standard input', bytes: exchange.body }]
    : await Promise.all(paths.map(async (path) => ({ source: path, bytes: openArchive(path), totalByteLength: await measurePath(path, exchange) })))
  for (const archive of archives) {
    const pinned: string[] = []
    using lease = node.leases.open('dag import')
    const { roots, ...counts } = await importArchive(node, archive, lease, exchange)
    for (const cid of pinRoots === false ? [] : roots) {
      await pinImported(node, { cid, name }, exchange)
      pinned.push(cid.toString())
    }
    await exchange.emit({ imported: { source: archive.source, roots: roots.map(String), ...counts, pinned } })
  }
}

/** Pins a root and lets others hear of it. */
export async function pinImported (node: ApiNode, { cid, name }: { readonly cid: CID, readonly name?: string | undefined }, exchange: Pick<Exchange<ProgressEvent>, 'emit' | 'signal'>): Promise<void> {
  const report = progressReporter(exchange)
  await pinDag(node, { cid, kind: 'recursive', ...(name === undefined ? {} : { name }) }, { signal: exchange.signal, onProgress: (progress) => { report({ ...progress, phase: 'pinning' }) } })
  node.announcer.announce(cid)
}

/** Imports one archive, whose blocks `lease` protects: it is to be let go when the roots are pinned. */
export async function importArchive (node: ApiNode, { bytes, totalByteLength }: Pick<Archive, 'bytes' | 'totalByteLength'>, lease: Lease, exchange: Pick<Exchange<ProgressEvent>, 'emit' | 'signal'>): Promise<{ roots: readonly CID[], blockCount: number, byteLength: number }> {
  const sink = new BlockSink(leasedWriter(node.blocks, lease), exchange)
  const report = progressReporter(exchange)
  const { roots, blocks } = await readCar(bytes, exchange)
  let byteLength = 0
  try {
    for await (const block of blocks) {
      await sink.add(block)
      byteLength += block.bytes.byteLength
      report({ blockCount: sink.blockCount, byteLength, ...(totalByteLength === undefined ? {} : { totalByteLength }) })
    }
  } finally {
    // Also of a broken archive: its good blocks make the next try short.
    await sink.flush()
  }
  return { roots, blockCount: sink.blockCount, byteLength }
}

async function * openArchive (path: string): AsyncIterable<Uint8Array> {
  if (!isAbsolute(path)) throw new HoldfastError('INVALID', `Path ${path} is not absolute`, { path })
  try {
    for await (const piece of createReadStream(path, { highWaterMark: READ_BYTES })) yield piece as Buffer
  } catch (cause) {
    const errno = cause instanceof Error && 'code' in cause ? cause.code : undefined
    if (errno === 'ENOENT') throw new HoldfastError('NOT_FOUND', `Cannot import ${path}: there is no such file`, { cause, path })
    throw new HoldfastError('UNAVAILABLE', `Cannot import ${path}: ${String(errno)}`, { cause, path })
  }
}

/** Sends the DAG below a path as a CARv1 whose blocks come depth first, each once; `partial` leaves out what is absent below the root. */
export async function dagExport (node: ApiNode, { path, partial = false }: ArgsOf<'dag-export'> & { readonly partial?: boolean }, exchange: Exchange<EventOf<'dag-export'>>): Promise<void> {
  const { signal } = exchange
  const { found: { cid }, reader } = await openFound(node, path, exchange, { walk: true, find: async (blocks) => await locate(blocks, path, signal) })
  using blocks = reader
  if (partial) await requireBlock(blocks, cid, { signal })
  await exchange.send(encodeCarHeader([cid]))
  for await (const block of walkDag(blocks, [cid], { signal, ...(partial ? { onAbsent: () => {} } : {}) })) await sendSection(block, exchange)
}

async function sendSection (block: Block, exchange: Pick<Exchange, 'send'>): Promise<void> {
  for (const part of encodeCarSection(block)) await exchange.send(part)
}
