/**
 * Kubo's RPC on node:http: `POST /api/v0/<command>?arg=…&option=…`, and beside it what whoever watches the node asks for.
 *
 * Commands call the same functions as the door does; this file knows who may come in and what becomes of a call.
 *
 * @see https://docs.ipfs.tech/reference/kubo/rpc/
 */
import { HoldfastError } from '@holdfast/core'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { ApiNode } from '../api-node.ts'
import type { BrowserGuard } from './browser-guard.ts'
import { CallCounter } from './call-counts.ts'
import { RPC_COMMANDS } from './command-table.ts'
import { NodeMetrics } from './node-metrics.ts'
import { offlineNode } from '../handlers/offline-node.ts'
import { Places } from './places.ts'
import { PROMETHEUS_CONTENT_TYPE, writePrometheus } from './prometheus.ts'
import type { RpcCommand } from './rpc-command.ts'
import { isForeseen, refuse } from './rpc-failure.ts'
import { RpcReply } from './rpc-reply.ts'
import { badRequest, parseQuery } from './rpc-request.ts'
import type { RpcTokens } from './rpc-tokens.ts'
import { durabilityHeader } from '../storage-engine.ts'
import { CALLER_STALL_MS, StallWatch } from './stall-watch.ts'
import { uploadedParts } from './upload.ts'

/** Calls at once; more are answered with 429. A stream that is open counts. */
export const MAX_CALLS = 256

/** Uploads that are read at once, each with up to 32 MiB of blocks in memory; further ones wait, and their senders with them. */
export const MAX_UPLOADS = 16

/** How long the rest of an upload is still taken after the answer, in milliseconds, so that its sender gets to read the answer. */
const LINGER_MS = 2000

export interface RpcListenerOptions {
  readonly guard: BrowserGuard
  /** With tokens, whoever has none is turned away. @default everybody may call */
  readonly tokens?: RpcTokens | undefined
  /** @default MAX_CALLS */
  readonly maxCalls?: number
  /** @default CALLER_STALL_MS */
  readonly callerStallMs?: number
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

interface Call {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  readonly reply: RpcReply
  readonly ended: AbortController
  readonly stalls: StallWatch
  readonly path: string
  readonly query: string
}

class RpcDoor {
  readonly #node: ApiNode
  readonly #options: RpcListenerOptions
  readonly #uploads = new Places(MAX_UPLOADS)
  readonly #calls = new CallCounter()
  readonly #metrics: NodeMetrics

  constructor (node: ApiNode, options: RpcListenerOptions) {
    this.#node = node
    this.#options = options
    this.#metrics = new NodeMetrics(node, this.#calls)
  }

  async answer (request: IncomingMessage, response: ServerResponse): Promise<void> {
    const ended = new AbortController()
    const stalls = new StallWatch(ended, this.#options.callerStallMs ?? CALLER_STALL_MS)
    const reply = new RpcReply(request, response, { signal: ended.signal, stalls })
    const [path, query] = splitOnce(request.url ?? '', '?')
    const call = { request, response, reply, ended, stalls, path, query }
    response.once('close', () => { ended.abort(new HoldfastError('UNAVAILABLE', 'The caller went away', { reason: 'caller-gone' })) })
    // A caller that takes nothing gets no last word: waiting for room would never end.
    ended.signal.addEventListener('abort', () => { if (response.writableNeedDrain) response.destroy() }, { once: true })
    this.#calls.openCount++
    try {
      await this.#serve(call)
      this.#calls.ended(commandIn(path), response.statusCode)
    } catch (err) {
      this.#fail(err, call)
    } finally {
      this.#calls.openCount--
      letGoOf(request)
    }
  }

  async #serve (call: Call): Promise<void> {
    const { request: { method = '', headers }, response, reply, path } = call
    const { guard, tokens, maxCalls = MAX_CALLS } = this.#options
    response.setHeader('server', this.#node.describe().agent)
    guard.admit(method, headers)
    for (const [name, value] of Object.entries(guard.corsHeaders(headers))) response.setHeader(name, value)
    if (this.#calls.openCount > maxCalls) throw refuse(429, 'Too many requests at once; try again later', { 'retry-after': '10' })
    if (this.#answerProbe(call)) return
    if (method === 'OPTIONS' && path.startsWith(API_PREFIX)) return void response.writeHead(204, guard.preflightHeaders(headers)).end()
    if (tokens !== undefined && !tokens.opens(headers.authorization, path)) throw refuse(403, 'RPC Access Denied: give a token of rpcTokens that opens this path')
    if (path === METRICS_PATH) return this.#answerMetrics(call)
    if (!path.startsWith(API_PREFIX)) throw notFound()
    if (method !== 'POST') throw refuse(405, '405 - Method Not Allowed', { allow: 'OPTIONS, POST' })
    const command = RPC_COMMANDS[commandIn(path)]
    if (command === undefined) throw notFound()
    if (ACKNOWLEDGING.has(commandIn(path))) for (const [name, value] of Object.entries(durabilityHeader(this.#node.engine))) response.setHeader(name, value)
    await this.#run(command, call)
    reply.end()
  }

  async #run (command: RpcCommand, { request, reply, ended, stalls, query: text }: Call): Promise<void> {
    const query = parseQuery(text, command)
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

  /** Answers whether the process lives and whether the node takes calls, to whoever asks: supervisors have no tokens. */
  #answerProbe ({ request: { method }, response, path }: Call): boolean {
    if (path !== '/healthz' && path !== '/readyz') return false
    requireRead(method)
    const isFine = path === '/healthz' || this.#node.isReady()
    answerText(response, isFine ? 200 : 503, { text: isFine ? 'ok\n' : 'The node is starting or stopping\n', isHead: method === 'HEAD' })
    return true
  }

  #answerMetrics ({ request: { method }, response }: Call): void {
    requireRead(method)
    answerText(response, 200, { text: writePrometheus(this.#metrics.read()), isHead: method === 'HEAD', contentType: PROMETHEUS_CONTENT_TYPE })
  }

  #fail (err: unknown, { request: { method }, response, reply, path }: Call): void {
    // A connection that is gone takes no answer.
    if (response.destroyed || response.writableEnded) return this.#calls.ended(commandIn(path), CALLER_GONE)
    const { status } = reply.fail(err)
    this.#calls.ended(commandIn(path), status)
    const fields = { method, path, status, err }
    if (isForeseen(err)) this.#node.log.debug('A call of the RPC failed', fields)
    else this.#node.log.error('A call of the RPC failed in an unforeseen way', fields)
  }
}

const API_PREFIX = '/api/v0/'

/** Commands whose answers say that blocks are stored. */
const ACKNOWLEDGING: ReadonlySet<string> = new Set(['add', 'block/put', 'dag/import', 'dag/put', 'pin/add', 'pin/update'])

const METRICS_PATH = '/debug/metrics/prometheus'

/** The status under which calls are counted whose caller did not wait for one; the number is that of nginx. */
const CALLER_GONE = 499

/** The command that a path names; empty when there is none. */
function commandIn (path: string): string {
  const name = path.startsWith(API_PREFIX) ? path.slice(API_PREFIX.length) : ''
  return Object.hasOwn(RPC_COMMANDS, name) ? name : ''
}

function notFound (): HoldfastError {
  return refuse(404, '404 page not found')
}

function requireRead (method: string | undefined): void {
  if (method !== 'GET' && method !== 'HEAD') throw refuse(405, '405 - Method Not Allowed', { allow: 'GET, HEAD' })
}

function answerText (response: ServerResponse, status: number, { text, isHead, contentType = 'text/plain; charset=utf-8' }: { text: string, isHead: boolean, contentType?: string }): void {
  response.writeHead(status, { 'content-type': contentType, 'content-length': Buffer.byteLength(text), 'cache-control': 'no-store', 'x-content-type-options': 'nosniff' })
  response.end(isHead ? undefined : text)
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
