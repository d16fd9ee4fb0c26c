import { HoldfastError, isHoldfastError } from '@holdfast/core'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { ApiNode } from './api-node.ts'
import { drained } from './drained.ts'
import type { Exchange } from './exchange.ts'
import { encodeBytes, encodeEnd, encodeError, encodeEvent } from './frames.ts'
import { HANDLERS } from './handlers/table.ts'
import { isOperationName, parseArgs } from './operation-schemas.ts'
import type { ArgsOf, OperationName } from './operations.ts'
import { durabilityHeader } from './storage-engine.ts'

/** Longest first line of a request, the arguments, in bytes: 100,000 paths of everyday length. */
export const MAX_ARGS_BYTES: number = 16 * 1024 * 1024

/**
 * Returns the request listener of the door: `POST /v1/<operation>`, a line of JSON with the arguments, then
 * the body; the answer is frames (`frames.ts`), also when the operation fails.
 *
 * A caller that goes away aborts its operation.
 */
export function createApiListener (node: ApiNode): (request: IncomingMessage, response: ServerResponse) => void {
  return (request, response) => {
    answer(node, request, response).catch((err: unknown) => {
      // Only the connection itself can fail here; whoever called sees that it broke off.
      node.log.debug('A caller of the door went away', { err })
      response.destroy()
    })
  }
}

async function answer (node: ApiNode, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const name = /^\/v1\/([a-z-]{1,40})$/.exec(request.url ?? '')?.[1]
  if (request.method !== 'POST' || name === undefined || !isOperationName(name)) {
    response.writeHead(404).end()
    return
  }
  const gone = new AbortController()
  response.once('close', () => { gone.abort(new HoldfastError('UNAVAILABLE', 'The caller went away')) })
  response.writeHead(200, { 'content-type': 'application/x-holdfast-frames', ...(ACKNOWLEDGING.has(name) ? durabilityHeader(node.engine) : {}) })
  const write = async (frames: readonly Uint8Array[]): Promise<void> => { await writeAll(response, frames, gone.signal) }
  try {
    await run(node, name, request, { signal: gone.signal, write })
    await write(encodeEnd())
  } catch (err) {
    gone.signal.throwIfAborted()
    if (!isHoldfastError(err)) node.log.error('An operation failed in an unforeseen way', { operation: name, err })
    await write(encodeError(err))
  }
  response.end()
  // What the caller still sends is of no use any more, but its connection should end in order.
  request.resume()
}

/** Operations whose answers say that blocks are stored. */
const ACKNOWLEDGING: ReadonlySet<OperationName> = new Set(['add', 'dag-import', 'pin-add', 'pin-update'])

async function run<Name extends OperationName> (node: ApiNode, name: Name, request: IncomingMessage, { signal, write }: { signal: AbortSignal, write: (frames: readonly Uint8Array[]) => Promise<void> }): Promise<void> {
  const { args, body } = await readArgs(name, request)
  const exchange: Exchange = {
    signal,
    body,
    emit: async (event) => { await write(encodeEvent(event)) },
    send: async (bytes) => { await write(encodeBytes(bytes)) }
  }
  await HANDLERS[name](node, args, exchange)
}

/** Splits the request at its first line feed: arguments before it, body behind it. */
async function readArgs<Name extends OperationName> (name: Name, request: IncomingMessage): Promise<{ args: ArgsOf<Name>, body: AsyncIterable<Uint8Array> }> {
  const iterator: AsyncIterator<Buffer> = request[Symbol.asyncIterator]()
  const pieces: Buffer[] = []
  let byteLength = 0
  for (;;) {
    const next = await iterator.next()
    if (next.done === true) throw new HoldfastError('INVALID', 'The request ended before its arguments')
    const end = next.value.indexOf(LINE_FEED)
    pieces.push(end < 0 ? next.value : next.value.subarray(0, end))
    byteLength += next.value.byteLength
    if (end >= 0) return { args: parseArgs(name, parseJson(Buffer.concat(pieces))), body: bodyAfter(next.value.subarray(end + 1), iterator) }
    if (byteLength > MAX_ARGS_BYTES) throw new HoldfastError('LIMIT', `Arguments are longer than ${MAX_ARGS_BYTES} bytes; name fewer paths at once`)
  }
}

const LINE_FEED = 0x0a

function parseJson (line: Buffer): unknown {
  try {
    return JSON.parse(line.toString())
  } catch (cause) {
    throw new HoldfastError('INVALID', 'The arguments are not JSON', { cause })
  }
}

async function * bodyAfter (first: Uint8Array, rest: AsyncIterator<Uint8Array>): AsyncIterable<Uint8Array> {
  if (first.byteLength > 0) yield first
  for (;;) {
    const next = await rest.next()
    if (next.done === true) return
    yield next.value
  }
}

async function writeAll (response: ServerResponse, frames: readonly Uint8Array[], signal: AbortSignal): Promise<void> {
  signal.throwIfAborted()
  let hasRoom = true
  // Not corked: a corked response says that it is full and then, when the socket takes all at once, never that it drained.
  // Node joins what is written within one turn by itself.
  for (const frame of frames) hasRoom = response.write(frame)
  if (hasRoom) return
  await drained(response)
  signal.throwIfAborted()
}
