import { CODECS, codecName, decodeDagPb, HoldfastError } from '@holdfast/core'
import { requireBlock } from '@holdfast/dag'
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
    if (options['with-local'] === true) throw new HoldfastError('UNSUPPORTED', 'Option with-local of files stat is not supported by this node')
    using blocks = openReader(node, path, callExchange(call))
    await reply.one(await statOf(blocks, path, signal))
  }
})

async function statOf (blocks: Parameters<typeof locate>[0], path: string, signal: AbortSignal): Promise<object> {
  const entry = await locate(blocks, path, signal)
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
