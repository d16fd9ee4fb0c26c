import { parseContentPath, resolvePath } from '@holdfast/dag'
import { openReader } from '../../handlers/open-reader.ts'
import { type RpcCommand, rpcCommand } from '../rpc-command.ts'
import { callExchange } from './call-exchange.ts'

/** Follows a path to the CID that it names. Names of `/ipns` are not resolved: that is a clear failure. */
export const resolve: RpcCommand = rpcCommand({
  args: { names: ['name'] },
  options: { recursive: ['bool', 'r'], 'dht-record-count': ['int'], 'dht-timeout': ['string'] },
  async run (call) {
    const { node, args: [path = ''], signal, reply } = call
    using blocks = openReader(node, path, callExchange(call))
    const { root, segments } = parseContentPath(path)
    const { cid, remainder } = await resolvePath(blocks, root, segments, { signal })
    await reply.one({ Path: ['/ipfs', cid.toString(), ...remainder].join('/') })
  }
})

/** What is no name resolves to itself; names need a package that this node does not have yet. */
export const nameResolve: RpcCommand = rpcCommand({
  args: { names: ['name'], required: 0 },
  options: { recursive: ['bool', 'r'], nocache: ['bool', 'n'], 'dht-record-count': ['int'], 'dht-timeout': ['string'], stream: ['bool', 's'] },
  async run ({ node, args: [name = `/ipns/${node.describe().peerId}`], options: { stream = false }, reply }) {
    const { root, segments } = parseContentPath(name.startsWith('/') ? name : `/ipns/${name}`)
    const resolved = { Path: ['/ipfs', root.toString(), ...segments].join('/') }
    await (stream ? reply.emit(resolved) : reply.one(resolved))
  }
})
