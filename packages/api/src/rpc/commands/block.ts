import { Block, CODECS, hasherNamed, HoldfastError, MAX_BLOCK_BYTES, parseCid, SHA2_256 } from '@holdfast/core'
import { requireBlock } from '@holdfast/dag'
import { leasedWriter } from '@holdfast/pins'
import type { CID } from 'multiformats/cid'
import { removeBlocks } from '../../handlers/blocks.ts'
import { pinRoots } from '../../handlers/add.ts'
import { locateBlock } from '../../handlers/read.ts'
import { codecNamed } from '../codec-names.ts'
import { callerMistake } from '../rpc-request.ts'
import { type OptionValues, type RpcCommand, rpcCommand } from '../rpc-command.ts'
import type { UploadedPart } from '../upload.ts'
import { callExchange } from './call-exchange.ts'

const CID_ARGUMENT = { names: ['cid'] } as const

export const get: RpcCommand = rpcCommand({
  args: CID_ARGUMENT,
  async run (call) {
    const { node, args: [path = ''], signal, reply } = call
    const { cid, blocks } = await locateBlock(node, path, callExchange(call), { walk: false })
    using _session = blocks
    const { bytes } = await requireBlock(blocks, cid, { signal })
    reply.asBytes('application/vnd.ipld.raw', bytes.byteLength)
    if (bytes.byteLength > 0) await reply.bytes(bytes)
  }
})

export const stat: RpcCommand = rpcCommand({
  args: CID_ARGUMENT,
  async run (call) {
    const { node, args: [path = ''], signal, reply } = call
    const { cid, blocks } = await locateBlock(node, path, callExchange(call), { walk: false })
    using _session = blocks
    const { bytes } = await requireBlock(blocks, cid, { signal })
    await reply.one({ Key: cid.toString(), Size: bytes.byteLength })
  }
})

const PUT_OPTIONS = { 'cid-codec': ['string'], format: ['string', 'f'], mhtype: ['string'], mhlen: ['int'], pin: ['bool'], 'allow-big-block': ['bool'] } as const

export const put: RpcCommand = rpcCommand({
  options: PUT_OPTIONS,
  takesUpload: true,
  async run ({ node, options, reply, upload, signal }) {
    const form = blockForm(options)
    for await (const part of upload) {
      const block = await Block.of(await uploadedBytes(part), form)
      using lease = node.leases.open('block put')
      await leasedWriter(node.blocks, lease).put(block, { signal })
      if (options.pin === true) await pinRoots(node, [block.cid], undefined)
      await reply.emit({ Key: block.cid.toString(), Size: block.bytes.byteLength })
    }
  }
})

/** Which CID a block gets. `format` is the old way to say it: there `v0` and `protobuf` are blocks of CIDv0. */
function blockForm ({ 'cid-codec': codec = 'raw', format = '', mhtype = 'sha2-256', mhlen = -1 }: OptionValues<typeof PUT_OPTIONS>): { codec: number, hash: number, version: 0 | 1 } {
  const hash = hasherNamed(mhtype).code
  if (mhlen !== -1 && !(hash === SHA2_256 && mhlen === 32)) throw callerMistake('mhlen is not supported: a digest has the length of its hash')
  if (format !== '' && codec !== 'raw') throw callerMistake('unable to use "format" (deprecated) and a custom "cid-codec" at the same time')
  switch (format) {
    case '': return { codec: codecNamed(codec), hash, version: 1 }
    case 'v0': return { codec: CODECS.dagPb, hash, version: 0 }
    case 'protobuf': return { codec: CODECS.dagPb, hash, version: hash === SHA2_256 ? 0 : 1 }
    default: return { codec: format === 'cbor' ? CODECS.dagCbor : codecNamed(format), hash, version: 1 }
  }
}

/** Reads an upload that becomes one block. @throws `LIMIT` in the words that clients of Kubo look for. */
export async function uploadedBytes (part: UploadedPart): Promise<Uint8Array> {
  if (part.kind !== 'file') throw callerMistake('A block is uploaded as a file')
  const pieces: Uint8Array[] = []
  let byteLength = 0
  for await (const piece of part.content) {
    byteLength += piece.byteLength
    if (byteLength > MAX_BLOCK_BYTES) throw new HoldfastError('LIMIT', 'produced block is over 2MiB: big blocks cannot be exchanged with other peers')
    pieces.push(piece)
  }
  return Buffer.concat(pieces)
}

export const rm: RpcCommand = rpcCommand({
  args: { names: ['cid'], repeats: true },
  options: { force: ['bool', 'f'], quiet: ['bool', 'q'] },
  async run ({ node, args, options: { force = false, quiet = false }, signal, reply }) {
    reply.asValues()
    for await (const { cid, error } of removeBlocks(node, args.map((text) => parseCid(text)), { signal })) {
      if (error === undefined ? quiet : force && error.code === 'NOT_FOUND') continue
      await reply.emit({ Hash: cid.toString(), ...(error === undefined ? {} : { Error: messageOf(cid, error) }) })
    }
  }
})

function messageOf (cid: CID, error: HoldfastError): string {
  return error.code === 'NOT_FOUND' ? `ipld: could not find ${cid}` : error.message
}
