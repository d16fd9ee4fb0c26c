/**
 * Kubo's RPC on node:http: `POST /api/v0/<command>?arg=…&option=…`.
 *
 * Commands call the same functions as the door does; this file knows who may come in and what becomes of a call.
 *
 * @see https://docs.ipfs.tech/reference/kubo/rpc/
 */
import { HoldfastError } from '@holdfast/core'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { ApiNode } from '../api-node.ts'
import type { BrowserGuard } from './browser-guard.ts'
import { RPC_COMMANDS } from './command-table.ts'
import { offlineNode } from './offline-node.ts'
import { Places } from './places.ts'
import type { RpcCommand } from './rpc-command.ts'
import { isForeseen, refuse } from './rpc-failure.ts'
import { RpcReply } from './rpc-reply.ts'
import { badRequest, parseQuery } from './rpc-request.ts'
import { StallWatch } from './stall-watch.ts'
import { uploadedParts } from './upload.ts'

/** Calls at once; more are answered with 429. A stream that is open counts. */
export const MAX_CALLS = 256

/** Uploads that are read at once, each with up to 32 MiB of blocks in memory; further ones wait, and their senders with them. */
export const MAX_UPLOADS = 16

/** How long the rest of an upload is still taken after the answer, in milliseconds, so that its sender gets to read the answer. */
const LINGER_MS = 2000

export interface RpcListenerOptions {
  readonly guard: BrowserGuard
  /** @default MAX_CALLS */
  readonly maxCalls?: number
}

/** Returns the request listener of the RPC. A caller that goes away aborts its call. */
export function createRpcListener (node: ApiNode, options: RpcListenerOptions): (request: IncomingMessage, response: ServerResponse) => void {
  const door = new RpcDoor(node, options)
  return (request, response) => {
    door.answer(request, response).catch((err: unknown) => {
      node.log.error('The RPC could not answer', { err })
      response.destroy()
    })
  }
}

class RpcDoor {
  readonly #node: ApiNode
  readonly #guard: BrowserGuard
  readonly #maxCalls: number
  readonly #uploads = new Places(MAX_UPLOADS)
  #callCount = 0

  constructor (node: ApiNode, { guard, maxCalls = MAX_CALLS }: RpcListenerOptions) {
    this.#node = node
    this.#guard = guard
    this.#maxCalls = maxCalls
  }

  async answer (request: IncomingMessage, response: ServerResponse): Promise<void> {
    const ended = new AbortController()
    const stalls = new StallWatch(ended)
    const reply = new RpcReply(request, response, { signal: ended.signal, stalls })
    response.once('close', () => { ended.abort(new HoldfastError('UNAVAILABLE', 'The caller went away', { reason: 'caller-gone' })) })
    this.#callCount++
    try {
      await this.#serve({ request, response, reply, ended, stalls })
    } catch (err) {
      this.#fail(err, { request, response, reply })
    } finally {
      this.#callCount--
      letGoOf(request)
    }
  }

  async #serve (call: Call): Promise<void> {
    const { request, response, reply } = call
    const { method = '', headers, url = '' } = request
    response.setHeader('server', this.#node.describe().agent)
    this.#guard.admit(method, headers)
    for (const [name, value] of Object.entries(this.#guard.corsHeaders(headers))) response.setHeader(name, value)
    if (this.#callCount > this.#maxCalls) throw refuse(429, 'Too many requests at once; try again later', { 'retry-after': '10' })
    const [path = '', query = ''] = splitOnce(url, '?')
    if (!path.startsWith('/api/v0/')) throw refuse(404, '404 page not found')
    if (method === 'OPTIONS') return void response.writeHead(204, this.#guard.preflightHeaders(headers)).end()
    if (method !== 'POST') throw refuse(405, '405 - Method Not Allowed', { allow: 'OPTIONS, POST' })
    const name = path.slice('/api/v0/'.length)
    const command = Object.hasOwn(RPC_COMMANDS, name) ? RPC_COMMANDS[name] : undefined
    if (command === undefined) throw refuse(404, '404 page not found')
    await this.#run(command, query, call)
    reply.end()
  }

  async #run (command: RpcCommand, queryText: string, { request, reply, ended, stalls }: Call): Promise<void> {
    const query = parseQuery(queryText, command)
    const contentType = request.headers['content-type'] ?? ''
    if (command.takesUpload === true && !/^multipart\/form-data\b/i.test(contentType)) throw badRequest("file argument 'path' is required")
    using _deadline = endAfter(ended, query.timeoutMs)
    using _place = command.takesUpload === true ? await this.#uploads.take(ended.signal) : undefined
    await command.run({
      node: query.isOffline ? offlineNode(this.#node) : this.#node,
      args: query.args,
      options: query.options,
      signal: ended.signal,
      reply,
      upload: uploadedParts(contentType, stalls.body(request))
    })
  }

  #fail (err: unknown, { request, response, reply }: Pick<Call, 'request' | 'response' | 'reply'>): void {
    // A connection that is gone takes no answer.
    if (response.destroyed || response.writableEnded) return
    const failure = reply.fail(err)
    const fields = { method: request.method, path: splitOnce(request.url ?? '', '?')[0], status: failure.status, err }
    if (isForeseen(err)) this.#node.log.debug('A call of the RPC failed', fields)
    else this.#node.log.error('A call of the RPC failed in an unforeseen way', fields)
  }
}

interface Call {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  readonly reply: RpcReply
  readonly ended: AbortController
  readonly stalls: StallWatch
}

/** Lets a caller that still sends read its answer: then its connection ends, however much is to come. */
function letGoOf (request: IncomingMessage): void {
  if (request.complete || request.socket.destroyed) return
  const { socket } = request
  request.resume()
  setTimeout(() => { if (!request.complete) socket.destroy() }, LINGER_MS).unref()
}

function endAfter (ended: AbortController, timeoutMs: number | undefined): Disposable | undefined {
  if (timeoutMs === undefined) return undefined
  const timer = setTimeout(() => { ended.abort(new DOMException('The call took longer than it may', 'TimeoutError')) }, timeoutMs)
  return { [Symbol.dispose]: () => { clearTimeout(timer) } }
}

function splitOnce (text: string, separator: string): [string, string] {
  const at = text.indexOf(separator)
  return at < 0 ? [text, ''] : [text.slice(0, at), text.slice(at + 1)]
}
