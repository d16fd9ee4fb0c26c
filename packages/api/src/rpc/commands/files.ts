import type { BlockReader } from '@holdfast/blockstore'
import { CODECS, codecName, decodeDagPb, HoldfastError } from '@holdfast/core'
import { type DagEntry, requireBlock, walkDag } from '@holdfast/dag'
import type { CID } from 'multiformats/cid'
import { openReader } from '../../handlers/open-reader.ts'
import { locate } from '../../handlers/read.ts'
import { type RpcCommand, rpcCommand } from '../rpc-command.ts'
import { callExchange } from './call-exchange.ts'

/** What `files stat` tells of a DAG node, without the file system that Kubo keeps beside it. */
export const filesStat: RpcCommand = rpcCommand({
  args: { names: ['path'] },
  options: { format: ['string'], hash: ['bool'], size: ['bool'], 'with-local': ['bool'] },
  async run (call) {
    const { node, args: [path = ''], options, signal, reply } = call
    if (!/^\/ip[fn]s\//.test(path)) throw new HoldfastError('UNSUPPORTED', `There is no mutable file system here: ${path.slice(0, 100)} must begin with /ipfs/`)
    using blocks = openReader(node, path, callExchange(call))
    const entry = await locate(blocks, path, signal)
    const stat = await statOf(blocks, { entry, path, signal })
    await reply.one(options['with-local'] === true ? { ...stat, ...await localityOf(node.blocks, entry.cid, signal) } : stat)
  }
})

/** How much of a DAG is here, each block counted once. */
async function localityOf (blocks: BlockReader, cid: CID, signal: AbortSignal): Promise<{ WithLocality: true, Local: boolean, SizeLocal: number }> {
  let isWhole = true
  let byteLength = 0
  for await (const { bytes } of walkDag(blocks, [cid], { signal, onAbsent: () => { isWhole = false } })) byteLength += bytes.byteLength
  return { WithLocality: true, Local: isWhole, SizeLocal: byteLength }
}

async function statOf (blocks: BlockReader, { entry, path, signal }: { readonly entry: DagEntry, readonly path: string, readonly signal: AbortSignal }): Promise<object> {
  const block = await requireBlock(blocks, entry.cid, { signal })
  const links = entry.cid.code === CODECS.dagPb ? decodeDagPb(block.bytes).links : []
  const { mode, mtime } = { mode: undefined, mtime: undefined, ...entry }
  if (entry.kind === 'ipld' || entry.kind === 'opaque') throw new HoldfastError('UNSUPPORTED', `Cannot stat ${path}: a block of ${codecName(entry.cid.code)} is not UnixFS`)
  return {
    Hash: entry.cid.toString(),
    Size: entry.kind === 'file' ? entry.byteLength : 0,
    CumulativeSize: links.reduce((sum, { tsize = 0 }) => sum + tsize, block.bytes.byteLength),
    Blocks: links.length,
    Type: entry.kind,
    ...(mode === undefined ? {} : { Mode: mode.toString(8).padStart(4, '0') }),
    ...(mtime === undefined ? {} : { Mtime: Number(mtime.seconds), ...(mtime.nanoseconds === 0 ? {} : { MtimeNsecs: mtime.nanoseconds }) })
  }
}
