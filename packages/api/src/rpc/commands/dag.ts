import { Block, hasherNamed, HoldfastError, type Ipld, MAX_BLOCK_BYTES } from '@holdfast/core'
import { parseContentPath, requireBlock, resolvePath } from '@holdfast/dag'
import { leasedWriter } from '@holdfast/pins'
import type { CID } from 'multiformats/cid'
import { pinRoots } from '../../handlers/add.ts'
import { type Archive, dagExport, type ImportedArchive, importArchives } from '../../handlers/car.ts'
import { dagStat } from '../../handlers/dag-stat.ts'
import { openReader } from '../../handlers/open-reader.ts'
import type { BlockSumEvent, EventOf } from '../../operations.ts'
import { codecNamed } from '../codec-names.ts'
import { convert, encodeIpld, ipldOf } from '../ipld-form.ts'
import { callerMistake } from '../rpc-request.ts'
import { type RpcCall, type RpcCommand, rpcCommand } from '../rpc-command.ts'
import { uploadedBytes } from './block.ts'
import { callExchange } from './call-exchange.ts'

export const get: RpcCommand = rpcCommand({
  args: { names: ['ref'] },
  options: { 'output-codec': ['string'] },
  async run (call) {
    const { node, args: [path = ''], options: { 'output-codec': name = 'dag-json' }, signal, reply } = call
    const codec = codecNamed(name)
    using blocks = openReader(node, path, callExchange(call))
    const { root, segments } = parseContentPath(path)
    const { cid, remainder } = await resolvePath(blocks, root, segments, { signal })
    const block = await requireBlock(blocks, cid, { signal })
    const bytes = remainder.length === 0 && codec === cid.code ? block.bytes : encodeIpld(valueAt(ipldOf(block), remainder), codec)
    reply.asBytes('text/plain', bytes.byteLength)
    if (bytes.byteLength > 0) await reply.bytes(bytes)
  }
})

/** Follows names inside of one value; `resolvePath` has made sure that they lead somewhere. */
function valueAt (value: Ipld, path: readonly string[]): Ipld {
  return path.reduce<Ipld>((at, name) => {
    const child: unknown = typeof at === 'object' && at !== null && Object.hasOwn(at, name) ? Reflect.get(at, name) : undefined
    if (child === undefined) throw new HoldfastError('NOT_FOUND', `No value named ${JSON.stringify(name)}`)
    return child as Ipld
  }, value)
}

export const put: RpcCommand = rpcCommand({
  options: { 'store-codec': ['string'], 'input-codec': ['string'], pin: ['bool'], hash: ['string'], 'allow-big-block': ['bool'] },
  takesUpload: true,
  async run ({ node, options, upload, reply, signal }) {
    const { 'store-codec': store = 'dag-cbor', 'input-codec': input = 'dag-json', hash = 'sha2-256', pin = false } = options
    const [from, to, hashCode] = [codecNamed(input), codecNamed(store), hasherNamed(hash).code]
    for await (const part of upload) {
      const bytes = await convert(await uploadedBytes(part), { from, to })
      if (bytes.byteLength > MAX_BLOCK_BYTES) throw new HoldfastError('LIMIT', 'produced block is over 2MiB: big blocks cannot be exchanged with other peers')
      const block = await Block.of(bytes, { codec: to, hash: hashCode })
      using lease = node.leases.open('dag put')
      await leasedWriter(node.blocks, lease).put(block, { signal })
      if (pin) await pinRoots(node, [block.cid], undefined)
      await reply.emit({ Cid: link(block.cid) })
    }
  }
})

export const resolve: RpcCommand = rpcCommand({
  args: { names: ['ref'] },
  async run (call) {
    const { node, args: [path = ''], signal, reply } = call
    using blocks = openReader(node, path, callExchange(call))
    const { root, segments } = parseContentPath(path)
    const { cid, remainder } = await resolvePath(blocks, root, segments, { signal })
    await reply.one({ Cid: link(cid), RemPath: remainder.join('/') })
  }
})

const IMPORT_OPTIONS = { 'pin-roots': ['bool'], silent: ['bool'], stats: ['bool'], 'local-only': ['bool'], 'allow-big-block': ['bool'] } as const

/** Imports archives and pins their roots. A root that cannot be pinned is told with its reason, and the others go on. */
export const importCars: RpcCommand = rpcCommand({
  options: IMPORT_OPTIONS,
  takesUpload: true,
  async run (call) {
    const { node, options, upload, reply } = call
    const pinRoots = options['pin-roots'] !== false && options['local-only'] !== true
    reply.asValues()
    const { archives, roots } = await importArchives(node, uploadedArchives(upload), { pinRoots }, callExchange(call))
    if (options.silent !== true) for (const { cid, failure } of roots.values()) await reply.emit({ Root: { Cid: link(cid), PinErrorMsg: failure?.message ?? '' } })
    if (options.stats === true) await reply.emit({ Stats: { BlockCount: sumOf(archives, 'blockCount'), BlockBytesCount: sumOf(archives, 'byteLength') } })
  }
})

async function * uploadedArchives (upload: RpcCall<typeof IMPORT_OPTIONS>['upload']): AsyncGenerator<Archive> {
  for await (const part of upload) {
    if (part.kind !== 'file') throw callerMistake('An archive is uploaded as a file')
    yield { source: part.path.join('/') || 'the upload', bytes: part.content }
  }
}

function sumOf (archives: readonly ImportedArchive[], field: 'blockCount' | 'byteLength'): number {
  return archives.reduce((sum, archive) => sum + archive[field], 0)
}

/** Sends a CAR. With `local-only` nobody is asked for blocks, and those that are not here are left out with what is below them. */
export const exportCar: RpcCommand = rpcCommand({
  args: { names: ['root'] },
  options: { progress: ['bool', 'p'], 'local-only': ['bool'] },
  async run (call) {
    const { node, args: [path = ''], options: { 'local-only': localOnly }, reply } = call
    reply.asBytes('application/vnd.ipld.car')
    await dagExport(node, { path, localOnly }, callExchange(call))
  }
})

/** Counts the blocks below some roots, each once for a root and once in all; with `progress` also while it counts. */
export const stat: RpcCommand = rpcCommand({
  args: { names: ['root'], repeats: true },
  options: { progress: ['bool', 'p'] },
  async run (call) {
    const { node, args, options: { progress = false }, reply } = call
    const roots: object[] = []
    await dagStat(node, { paths: args }, callExchange<EventOf<'dag-stat'>>(call, async (event) => {
      if ('dag' in event) roots.push(rootStat(event.dag))
      else if (!('progress' in event)) await reply.emit(sumsOf(event, roots))
      else if (progress) await reply.emit({ TotalSize: event.progress.byteLength ?? 0, DagStats: event.counting === undefined ? roots : [...roots, rootStat(event.counting)] })
    }))
  }
})

function rootStat ({ cid, byteLength, blockCount }: BlockSumEvent & { cid: string }): object {
  return { Cid: cid, Size: byteLength, NumBlocks: blockCount }
}

function sumsOf ({ unique, total }: { unique: BlockSumEvent, total: BlockSumEvent }, roots: readonly object[]): object {
  return {
    UniqueBlocks: unique.blockCount,
    TotalSize: unique.byteLength,
    SharedSize: total.byteLength - unique.byteLength,
    Ratio: unique.byteLength === 0 ? 1 : total.byteLength / unique.byteLength,
    DagStats: roots
  }
}

/** A CID as Kubo's JSON links to it. */
export function link (cid: CID): { '/': string } {
  return { '/': cid.toString() }
}
