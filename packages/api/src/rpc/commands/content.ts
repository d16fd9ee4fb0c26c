import { CODECS, HoldfastError } from '@holdfast/core'
import { CID } from 'multiformats/cid'
import { archiveOf, DEFAULT_COMPRESSION_LEVEL } from '../../handlers/archive.ts'
import { openFound } from '../../handlers/open-reader.ts'
import { locate, ls as lsHandler, printableByteLength, printedContent } from '../../handlers/read.ts'
import type { EntryEvent } from '../../operations.ts'
import { callerMistake } from '../rpc-request.ts'
import { type RpcCall, type RpcCommand, rpcCommand } from '../rpc-command.ts'
import { callExchange } from './call-exchange.ts'

export const cat: RpcCommand = rpcCommand({
  args: { names: ['ipfs-path'], repeats: true },
  options: { offset: ['int', 'o'], length: ['int', 'l'], progress: ['bool', 'p'] },

  async run (call) {
    const { node, args, signal, reply, options } = call
    let skip = notNegative('offset', options.offset ?? 0)
    let left = notNegative('length', options.length ?? Number.MAX_SAFE_INTEGER)
    for (const path of args) {
      if (left === 0 && path !== args[0]) break
      const walk = options.offset === undefined && options.length === undefined
      const { found: entry, reader } = await openFound(node, path, callExchange(call), { walk, find: async (blocks) => await locate(blocks, path, signal) })
      using blocks = reader
      const byteLength = Math.max(0, Math.min(left, printableByteLength(entry, path) - skip))
      reply.asBytes('text/plain', args.length === 1 ? byteLength : undefined)
      if (byteLength > 0) for await (const piece of printedContent(blocks, entry, { offset: skip, length: byteLength, signal })) await reply.bytes(piece)
      skip = Math.max(0, skip - printableByteLength(entry, path))
      left -= byteLength
    }
  }
})

/** Sends a TAR, or with `compress` and without `archive` the one file compressed. */
export const get: RpcCommand = rpcCommand({
  args: { names: ['ipfs-path'] },
  options: { archive: ['bool', 'a'], compress: ['bool', 'C'], 'compression-level': ['int', 'l'], output: ['string', 'o'], progress: ['bool', 'p'] },

  async run (call) {
    const { node, args: [path = ''], options, signal, reply } = call
    const level = options['compression-level'] ?? DEFAULT_COMPRESSION_LEVEL
    if (level < 1 || level > 9) throw callerMistake('compression level must be between 1 and 9')
    const { found: entry, reader } = await openFound(node, path, callExchange(call), { walk: true, find: async (blocks) => await locate(blocks, path, signal) })
    using blocks = reader
    const archive = archiveOf(blocks, entry, { path, archive: options.archive, compress: options.compress, compressionLevel: level, signal })
    reply.asBytes(options.compress === true ? 'application/gzip' : 'application/x-tar')
    for await (const piece of archive) await reply.bytes(piece)
  }
})

const LS_OPTIONS = { headers: ['bool', 'v'], 'resolve-type': ['bool'], size: ['bool'], stream: ['bool', 's'], long: ['bool', 'l'] } as const

export const ls: RpcCommand = rpcCommand({
  args: { names: ['ipfs-path'], repeats: true },
  options: LS_OPTIONS,

  async run (call) {
    const { args, options: { stream } } = call
    if (stream === true) return await lsStreamed(call, args)
    const { reply } = call
    let objects = 0
    for (const path of args) {
      let links = 0
      await listLinks(call, path, async (link) => {
        await reply.text(`${links++ > 0 ? ',' : opening(path, objects)}${JSON.stringify(link)}`)
      })
      if (links === 0) await reply.text(opening(path, objects))
      await reply.text(']}')
      objects++
    }
    await reply.text(']}\n')
  }
})

/** The beginning of one object; a listing of any length goes out as it is read. */
function opening (path: string, index: number): string {
  return `${index === 0 ? '{"Objects":[' : ','}{"Hash":${JSON.stringify(path)},"Links":[`
}

async function lsStreamed (call: RpcCall<typeof LS_OPTIONS>, paths: readonly string[]): Promise<void> {
  for (const path of paths) {
    let links = 0
    await listLinks(call, path, async (link) => {
      links++
      await call.reply.emit({ Objects: [{ Hash: path, Links: [link] }] })
    })
    if (links === 0) await call.reply.emit({ Objects: [{ Hash: path, Links: [] }] })
  }
}

interface Link {
  readonly Name: string
  readonly Hash: string
  readonly Size: number
  readonly Type: number
  readonly Target: string
}

async function listLinks (call: RpcCall<typeof LS_OPTIONS>, path: string, onLink: (link: Link) => Promise<void>): Promise<void> {
  const { 'resolve-type': resolveType = true, size = true } = call.options
  const isResolved = resolveType || size
  await lsHandler(call.node, { path, size: isResolved }, callExchange(call, async (event) => {
    // A file lists nothing: the one entry without a name is the file itself.
    if ('progress' in event || (event.path === '' && event.kind !== 'directory')) return
    await onLink(linkOf(event, isResolved))
  }))
}

/** Numbers of the UnixFS types, as Kubo tells them; what is no UnixFS has 0. */
const TYPES: Readonly<Record<EntryEvent['kind'], number>> = { directory: 1, file: 2, symlink: 4, ipld: 0, opaque: 0 }

/** Of what was not read only a raw block is known for what it is. @see kubo core/coreapi/unixfs.go */
function linkOf ({ path, cid, kind, byteLength = 0, target = '', mode, mtimeSeconds }: EntryEvent, isResolved: boolean): Link {
  const isKnown = isResolved || CID.parse(cid).code === CODECS.raw
  return {
    Name: path,
    Hash: cid,
    Size: isKnown && kind !== 'directory' ? byteLength : 0,
    Type: isKnown ? TYPES[kind] : 0,
    Target: target,
    ...(mode === undefined ? {} : { Mode: mode }),
    ...(mtimeSeconds === undefined ? {} : { ModTime: isoTime(mtimeSeconds) })
  }
}

function isoTime (seconds: number): string | undefined {
  const date = new Date(seconds * 1000)
  return Number.isNaN(date.getTime()) ? undefined : date.toISOString()
}

function notNegative (name: string, value: number): number {
  if (value < 0) throw new HoldfastError('INVALID', `cannot specify negative ${name}`)
  return value
}
