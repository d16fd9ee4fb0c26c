import { HoldfastError } from '@holdfast/core'
import { type ImportedEntry, type ImportProgress, type ImportSource, importSources, importTar, keepsAttributes, measurePath, openPathSources, openTar, parseIgnoreRules, recipeOf, setAttributes } from '@holdfast/dag'
import { leasedWriter, type PinOwner } from '@holdfast/pins'
import type { CID } from 'multiformats/cid'
import { isAbsolute } from 'node:path'
import type { ApiNode } from '../api-node.ts'
import { type Exchange, progressReporter } from '../exchange.ts'
import { leasedReferences, nocopyRecipe } from './in-place.ts'
import { clusterPinEvent, clusterRequest, type NewPin, prepareClusterPin } from './cluster-pins.ts'
import type { AddArgs, EntryEvent, EventOf } from '../operations.ts'

/**
 * Imports what the arguments name and pins the roots.
 *
 * Blocks durable, then the pins, then the records of the cluster, then the answer; a lease keeps the collector away from the blocks in between.
 */
export async function add (node: ApiNode, args: AddArgs, exchange: Exchange<EventOf<'add'>>): Promise<void> {
  const recipe = recipeOf({ ...args, ...nocopyRecipe(args), keepsAttributes: keepsAttributes(args) })
  const wanted = clusterRequest(node, args, { mode: 'recursive', name: args.name })
  if (wanted !== undefined && args.pin === false) throw new HoldfastError('INVALID', 'Copies are of a pin: they cannot go without one')
  if (wanted !== undefined) await prepareClusterPin(node, wanted)
  const sources = await openSources(args, exchange)
  using lease = node.leases.open('add')
  using progress = args.progress === false ? undefined : startProgress(args, exchange)
  let firstUnreadable: { readonly reason: unknown } | undefined
  const shared = {
    signal: exchange.signal,
    wrap: args.wrap,
    emptyDirectories: args.emptyDirectories,
    onEntry: args.rootsOnly === true ? undefined : async (entry: ImportedEntry) => { await exchange.emit({ entry: toEvent(entry), isRoot: false }) }
  }
  const writer = leasedWriter(node.blocks, lease)
  const roots = args.tar === true
    ? await importTar(writer, openTar(sources, exchange.signal), recipe, { ...shared, preserveMode: args.preserveMode, preserveMtime: args.preserveMtime, attributes: setAttributes(args) })
    : await importSources(writer, sources, recipe, {
      ...shared,
      leaves: args.nocopy === true ? await leasedReferences(node, lease) : undefined,
      onUnreadable: args.ignoreErrors === true
        ? async (path, reason) => {
            firstUnreadable ??= { reason }
            await exchange.emit({ unreadable: { path, reason: reason instanceof Error ? reason.message : String(reason) } })
          }
        : undefined,
      onProgress: progress?.report
    })
  exchange.signal.throwIfAborted()
  if (roots.length === 0 && firstUnreadable !== undefined) throw firstUnreadable.reason
  for (const { cid } of roots) node.events.tell({ type: 'added', cid: cid.toString() })
  for (const entry of roots) await exchange.emit({ entry: toEvent(entry), isRoot: true })
  if (args.pin === false) return
  const cids = roots.map(({ cid }) => cid)
  if (wanted !== undefined) return await pinForCluster(node, roots, wanted, exchange)
  await pinRoots(node, cids, args.name)
  await exchange.emit({ pinned: cids.map(String) })
}

/** Pins what was imported for the cluster, and puts the records: the pin here goes with its record. */
async function pinForCluster (node: ApiNode, roots: readonly ImportedEntry[], wanted: NewPin, exchange: Exchange<EventOf<'add'>>): Promise<void> {
  using expected = new DisposableStack()
  for (const { cid } of roots) expected.use(node.keeper.expect(cid, 'recursive'))
  await pinRoots(node, roots.map(({ cid }) => cid), undefined, 'cluster')
  for (const { cid, byteLength } of roots) {
    // What this node has is said first, so that nobody else makes a copy in its place.
    const [, pin] = await Promise.all([node.keeper.reportCopy(cid, 'recursive', { byteLength, isVerified: false }), node.replication.putPin({ ...wanted, cid })])
    await exchange.emit({ pin: clusterPinEvent(pin) })
  }
  // Not before: without its record the pin here ends with this.
  await exchange.emit({ pinned: roots.map(({ cid }) => cid.toString()) })
}

/** Pins what was imported: its blocks are durable and protected by a lease of the caller's. */
export async function pinRoots (node: ApiNode, roots: readonly CID[], name: string | undefined, owner?: PinOwner): Promise<void> {
  for (const cid of roots) await node.pins.add({ cid, kind: 'recursive', name, owner })
  // Blocks and pins are durable: only now others may hear of them.
  for (const cid of roots) node.announcer.announce(cid)
}

/** How long an import runs before what there is in all is counted, in milliseconds: that looks at every file once more. */
const MEASURE_AFTER_MS = 1000

interface Progress extends Disposable {
  readonly report: (progress: ImportProgress) => void
}

/** Tells how far an import is. Counting runs beside it: until that is done, progress is told without a total. */
function startProgress (args: AddArgs, exchange: Exchange<EventOf<'add'>>): Progress {
  const report = progressReporter(exchange)
  const ended = new AbortController()
  let totalByteLength: number | undefined
  const timer = setTimeout(() => {
    measurePaths(args, AbortSignal.any([exchange.signal, ended.signal])).then((total) => { totalByteLength = total }, () => {})
  }, MEASURE_AFTER_MS)
  return {
    report: (progress) => { report({ ...progress, ...(totalByteLength === undefined ? {} : { totalByteLength }) }) },
    [Symbol.dispose] () {
      clearTimeout(timer)
      ended.abort()
    }
  }
}

async function measurePaths ({ paths, hidden, ignore = [] }: AddArgs, signal: AbortSignal): Promise<number | undefined> {
  const rules = ignore.length === 0 ? undefined : parseIgnoreRules(ignore)
  let byteLength = 0
  for (const path of paths) byteLength += await measurePath(path, { hidden, ignore: rules, signal })
  return paths.length === 0 ? undefined : byteLength
}

async function openSources (args: AddArgs, { body }: Exchange): Promise<ImportSource[]> {
  const { paths, stdinName = '' } = args
  if (paths.length === 0) return [{ kind: 'file', name: Buffer.from(stdinName), attributes: setAttributes(args), open: () => body }]
  for (const path of paths) {
    // The daemon's working directory is not the caller's.
    if (!isAbsolute(path)) throw new HoldfastError('INVALID', `Path ${path} is not absolute`, { path })
  }
  return await openPathSources(paths, args)
}

function toEvent ({ kind, path, cid, byteLength }: ImportedEntry): EntryEvent {
  return { kind, path, cid: cid.toString(), byteLength }
}
