import { readCar, writeCar } from '@holdfast/car'
import { HoldfastError, isHoldfastError } from '@holdfast/core'
import { BlockSink, DigestSet, measurePath, requireBlock, walkDag } from '@holdfast/dag'
import { type Lease, leasedWriter, pinDag } from '@holdfast/pins'
import type { CID } from 'multiformats/cid'
import { createReadStream } from 'node:fs'
import { isAbsolute } from 'node:path'
import type { ApiNode } from '../api-node.ts'
import { type Exchange, progressReporter } from '../exchange.ts'
import type { ArgsOf, EventOf, ProgressEvent } from '../operations.ts'
import { offlineNode } from './offline-node.ts'
import { openFound } from './open-reader.ts'
import { locate } from './read.ts'

/** Bytes that one read of a CAR file asks for: of blocks of 1 MiB seven in eight lie within one, and are not copied. */
const READ_BYTES: number = 8 * 1024 * 1024

/** Most roots of the archives of one call, and most archives: they are held until the last archive is read, some 200 bytes each. */
const MAX_IMPORTED_ROOTS = 65_536

/** One CAR that is to be imported. */
export interface Archive {
  /** Where it comes from, for whoever asked. */
  readonly source: string
  readonly bytes: AsyncIterable<Uint8Array>
  readonly totalByteLength?: number | undefined
}

/** What an archive held. */
export interface ImportedArchive {
  readonly source: string
  readonly roots: readonly CID[]
  /** Blocks with repeats, and their bytes. */
  readonly blockCount: number
  readonly byteLength: number
}

export interface ImportedArchives {
  readonly archives: readonly ImportedArchive[]
  /** Of each root that is pinned now `undefined`, else why it is not. In the order of the archives; empty when none was to be pinned. */
  readonly roots: ReadonlyMap<string, { readonly cid: CID, readonly failure?: Error }>
}

/** The work of one call. */
interface Imports {
  readonly lease: Lease
  /** Blocks that were checked and put: durable when their archive is done, and kept by the lease. */
  readonly proven: DigestSet
}

type Caller = Pick<Exchange<ProgressEvent>, 'emit' | 'signal'>

/** Imports CAR archives, and tells of each what it held and which of its roots are pinned. */
export async function dagImport (node: ApiNode, { paths, pinRoots, name }: ArgsOf<'dag-import'>, exchange: Exchange<EventOf<'dag-import'>>): Promise<void> {
  const { archives, roots } = await importArchives(node, archivesOf(paths, exchange), { pinRoots, name }, exchange)
  for (const { source, roots: named, blockCount, byteLength } of archives) {
    const ids = named.map(String)
    const pinned = ids.filter((id) => roots.has(id) && roots.get(id)?.failure === undefined)
    await exchange.emit({ imported: { source, roots: ids, blockCount, byteLength, pinned } })
  }
  const failures = [...roots.values()].filter(({ failure }) => failure !== undefined)
  const [first] = failures
  if (first?.failure === undefined) return
  if (failures.length === 1) throw first.failure
  const { failure: cause, cid } = first
  throw new HoldfastError(isHoldfastError(cause) ? cause.code : 'UNAVAILABLE', `${failures.length} roots could not be pinned, the first is ${cid}: ${cause.message}`, { cause, cid: cid.toString() })
}

async function * archivesOf (paths: readonly string[], exchange: Exchange): AsyncGenerator<Archive> {
  if (paths.length === 0) yield { source: 'standard input', bytes: exchange.body }
  for (const path of paths) yield { source: path, bytes: openArchive(path), totalByteLength: await measurePath(path, exchange) }
}

/**
 * Imports archives as one: all blocks durable first, then the roots are pinned, because a DAG may be spread over several archives.
 *
 * A broken archive ends the import: what was good before it stays, without a pin, so that another try is short. A root that
 * cannot be pinned keeps none of the others from it.
 *
 * @throws as `readCar`, with `details.source`; `LIMIT` above `MAX_IMPORTED_ROOTS`.
 */
export async function importArchives (node: ApiNode, archives: AsyncIterable<Archive>, { pinRoots = true, name }: { readonly pinRoots?: boolean | undefined, readonly name?: string | undefined }, caller: Caller): Promise<ImportedArchives> {
  const imports: Imports = { lease: node.leases.open('dag import'), proven: new DigestSet() }
  using _lease = imports.lease
  const imported: ImportedArchive[] = []
  const wanted = new Map<string, CID>()
  let rootCount = 0
  for await (const archive of archives) {
    const done = await importArchive(node, archive, imports, caller)
    // One without roots takes memory too.
    rootCount += Math.max(1, done.roots.length)
    if (rootCount > MAX_IMPORTED_ROOTS) throw new HoldfastError('LIMIT', `The archives have more than ${MAX_IMPORTED_ROOTS} roots together: import them in several calls`)
    imported.push(done)
    if (pinRoots) for (const cid of done.roots) wanted.set(cid.toString(), cid)
  }
  const roots = new Map<string, { cid: CID, failure?: Error }>()
  for (const [id, cid] of wanted) roots.set(id, { cid, ...await pinImported(node, { cid, name, proven: imports.proven }, caller) })
  return { archives: imported, roots }
}

/** Pins a root and lets others hear of it; what kept it from that is an answer. */
async function pinImported (node: ApiNode, { cid, name, proven }: { readonly cid: CID, readonly name: string | undefined, readonly proven: DigestSet }, caller: Caller): Promise<{ failure?: Error }> {
  const report = progressReporter(caller)
  try {
    await pinDag(node, { cid, kind: 'recursive', name }, { signal: caller.signal, isProven: (leaf) => proven.has(leaf), onProgress: (progress) => { report({ ...progress, phase: 'pinning' }) } })
  } catch (err) {
    caller.signal.throwIfAborted()
    return { failure: err instanceof Error ? err : new Error(String(err)) }
  }
  node.announcer.announce(cid)
  return {}
}

async function importArchive (node: ApiNode, { source, bytes, totalByteLength }: Archive, { lease, proven }: Imports, caller: Caller): Promise<ImportedArchive> {
  const sink = new BlockSink(leasedWriter(node.blocks, lease), caller)
  const report = progressReporter(caller)
  let roots: readonly CID[] = []
  let byteLength = 0
  try {
    const reader = await readCar(bytes, caller)
    roots = reader.roots
    for await (const block of reader.blocks) {
      await sink.add(block)
      proven.add(block.cid)
      byteLength += block.bytes.byteLength
      report({ blockCount: sink.blockCount, byteLength, ...(totalByteLength === undefined ? {} : { totalByteLength }) })
    }
  } catch (cause) {
    if (!isHoldfastError(cause) || cause.details['byteOffset'] === undefined) throw cause
    throw new HoldfastError(cause.code, `${cause.message} (${source}). ${sink.blockCount} blocks before that are stored, and nothing is pinned`, { ...cause.details, cause, source })
  } finally {
    // Also of a broken archive: its good blocks make the next try short.
    await sink.flush()
  }
  return { source, roots, blockCount: sink.blockCount, byteLength }
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

/**
 * Sends the DAG below a path as a CARv1 whose blocks come depth first, each once. With `localOnly` no peer is asked, and
 * what is absent below the root is left out with what is below it.
 */
export async function dagExport (node: ApiNode, { path, localOnly = false }: ArgsOf<'dag-export'>, exchange: Exchange<EventOf<'dag-export'>>): Promise<void> {
  const { signal } = exchange
  const { found: { cid }, reader } = await openFound(localOnly ? offlineNode(node) : node, path, exchange, { walk: true, find: async (blocks) => await locate(blocks, path, signal) })
  using blocks = reader
  if (localOnly) await requireBlock(blocks, cid, { signal })
  for await (const piece of writeCar([cid], walkDag(blocks, [cid], { signal, ...(localOnly ? { onAbsent: () => {} } : {}) }))) await exchange.send(piece)
}
