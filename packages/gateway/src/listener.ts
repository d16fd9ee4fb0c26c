/**
 * The gateway on node:http.
 */
import { HoldfastError, type Logger } from '@holdfast/core'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { BodyWriter } from './body-writer.ts'
import { errorResponse } from './error-response.ts'
import { clientStalled, requestFailed, requestsRefused, responseBrokeOff } from './events.ts'
import type { Body, GatewayRequest, GatewayResponse, Header } from './exchange.ts'
import type { Gateway } from './gateway.ts'
import { GatewayMeter, type RequestOutcome } from './gateway-meter.ts'
import { refusal } from './http-status.ts'
import { type Expiry, type Phase, StallWatch, type StallLimits, type Watched } from './stall-watch.ts'

/** Bounds on time and number of the requests that one listener serves; the names are boxo's. */
export interface ListenerLimits extends StallLimits {
  /** Requests at once; more are answered with 429. */
  readonly maxConcurrentRequests: number
}

/** Defaults of `ListenerLimits`: those of boxo, with a quarter of its requests, since one process has one thread. */
export const DEFAULT_LISTENER_LIMITS: Readonly<ListenerLimits> = {
  retrievalTimeoutMs: 30_000,
  writeStallTimeoutMs: 30_000,
  maxRequestDurationMs: 3_600_000,
  maxConcurrentRequests: 1_024
}

export interface ListenerOptions {
  readonly log: Logger
  readonly limits?: Partial<ListenerLimits> | undefined
  /** Is told of every request. @default one of its own */
  readonly meter?: GatewayMeter | undefined
}

/**
 * Returns a request listener for `http.createServer`.
 *
 * Content is pulled as the client takes it. A client that stops taking it, content that stops coming and a
 * response that fails midway all end in a reset connection, never in a body that looks complete.
 */
export function gatewayListener (gateway: Gateway, { log, limits, meter = new GatewayMeter() }: ListenerOptions): (request: IncomingMessage, response: ServerResponse) => void {
  const bounds = { ...DEFAULT_LISTENER_LIMITS, ...limits }
  const watch = new StallWatch(bounds)
  let isRefusing = false
  return (incoming, response) => {
    const exchange = new HttpExchange(incoming, response, log)
    meter.began()
    response.once('close', () => { meter.ended(exchange.outcome()) })
    if (watch.count >= bounds.maxConcurrentRequests) {
      if (!isRefusing) requestsRefused(log, { concurrentRequests: watch.count })
      isRefusing = true
      exchange.fail(refusal('LIMIT', 429, 'The gateway has too many requests at once', { tip: 'Try again in a minute.' }))
      return
    }
    isRefusing = false
    watch.add(exchange)
    response.once('close', () => {
      watch.delete(exchange)
      exchange.close()
    })
    void exchange.run(gateway)
  }
}

/** One request and its response. */
class HttpExchange implements Watched {
  readonly startedMs: number = performance.now()
  phase: Phase = 'retrieving'
  progressMs: number = this.startedMs
  readonly #response: ServerResponse
  readonly #request: GatewayRequest
  readonly #log: Logger
  readonly #ended = new AbortController()
  #writer: BodyWriter | undefined
  #format = 'none'
  #sentBytes = 0
  #headersMs: number | undefined

  constructor (incoming: IncomingMessage, response: ServerResponse, log: Logger) {
    this.#response = response
    this.#request = { method: incoming.method ?? 'GET', target: incoming.url ?? '/', headers: incoming.headers, signal: this.#ended.signal }
    this.#log = log
  }

  async run (gateway: Gateway): Promise<void> {
    try {
      await this.#send(await gateway.handle(this.#request))
    } catch (err) {
      this.fail(err)
    }
  }

  /** How it went; to be asked when the response is closed. */
  outcome (): RequestOutcome {
    return {
      format: this.#format,
      status: this.#headersMs === undefined ? undefined : this.#response.statusCode,
      sentByteLength: this.#sentBytes,
      durationMs: performance.now() - this.startedMs,
      headerDurationMs: this.#headersMs === undefined ? undefined : this.#headersMs - this.startedMs,
      isWhole: this.#response.writableFinished
    }
  }

  /** Sends a failure: as a status while there is still time, else by breaking the connection. */
  fail (err: unknown): void {
    if (this.#response.destroyed || this.#response.writableEnded) return
    if (this.#response.headersSent) {
      if (!this.#ended.signal.aborted) responseBrokeOff(this.#log, { target: this.#request.target, err })
      this.#reset()
      return
    }
    const answer = errorResponse(this.#request, isInvalidHeader(err) ? unprintableHeader(err) : err)
    if (answer.status === 500) requestFailed(this.#log, { target: this.#request.target, status: 500, err })
    try {
      this.#write(answer)
    } catch {
      this.#reset() // Not even the failure can be said: nothing thrown here may end the process.
    }
  }

  /** Ends all work: the response is closed, by either side. */
  close (): void {
    if (!this.#response.writableFinished) this.#ended.abort(new HoldfastError('UNAVAILABLE', 'The client closed the connection'))
    this.#writer?.release()
  }

  expire (expiry: Expiry): void {
    if (this.#ended.signal.aborted) return
    // Behind a pipelined request the response has no socket yet, and its client cannot take anything.
    if (expiry === 'write-stall' && this.#response.socket === null) return this.#progress()
    const err = refusal('UNAVAILABLE', 504, EXPIRIES[expiry], { tip: 'Try again later, or ask a gateway that has the content.' })
    this.#ended.abort(err)
    if (expiry === 'write-stall') {
      clientStalled(this.#log, { target: this.#request.target })
      this.#reset()
    } else if (this.#response.headersSent) {
      responseBrokeOff(this.#log, { target: this.#request.target, err })
      this.#reset()
    } else {
      this.fail(err)
    }
  }

  #progress (): void {
    this.progressMs = performance.now()
  }

  #enter (phase: Phase): void {
    this.phase = phase
    this.#progress()
  }

  async #send (answer: GatewayResponse): Promise<void> {
    const { body } = answer
    this.#enter('writing')
    // The answer came too late: the client has gone, or was told that it took too long.
    if (this.#response.destroyed || this.#response.headersSent) return await discard(body)
    try {
      if (this.#write(answer)) return
    } catch (err) {
      await discard(body)
      throw err
    }
    if (body !== undefined) await this.#pump(body)
  }

  /** Writes headers, and the body when it is in memory; returns whether that was all. */
  #write ({ status, headers, body, format }: GatewayResponse): boolean {
    this.#response.writeHead(status, flatten(headers))
    this.#headersMs = performance.now()
    this.#format = format ?? this.#format
    if (body === undefined) this.#response.end()
    else if (body.bytes !== undefined) this.#response.end(body.bytes)
    else return false
    this.#sentBytes = body?.bytes?.byteLength ?? 0
    return true
  }

  async #pump (body: Body): Promise<void> {
    const writer = new BodyWriter(this.#response, () => { this.#progress() })
    this.#writer = writer
    this.#enter('retrieving')
    for await (const piece of body.read()) {
      this.#sentBytes += piece.byteLength
      if (body.byteLength !== undefined && this.#sentBytes > body.byteLength) break
      this.#enter('writing')
      await writer.write(piece)
      if (body.isBorrowed === true) await writer.settled()
      if (this.#response.destroyed) return
      this.#enter('retrieving')
    }
    if (body.byteLength !== undefined && body.byteLength !== this.#sentBytes) {
      throw new HoldfastError('CORRUPT', `Content has ${this.#sentBytes} bytes or more where ${body.byteLength} were announced`, { sentBytes: this.#sentBytes, byteLength: body.byteLength })
    }
    this.#enter('writing')
    this.#response.end()
  }

  /** Breaks the connection with a reset, which no client and no cache takes for the end of the body. */
  #reset (): void {
    const { socket } = this.#response
    try {
      socket?.resetAndDestroy()
    } catch {
      socket?.destroy() // Only TCP can be reset; TLS and local sockets are closed in the middle.
    }
    this.#response.destroy()
  }
}

const EXPIRIES: Readonly<Record<Expiry, string>> = {
  'retrieval-timeout': 'Content did not arrive in time',
  'write-stall': 'The client stopped taking the response',
  deadline: 'The request took longer than any may'
}

/** Lets a body go that nobody will read, so that what it holds open is closed. */
async function discard (body: Body | undefined): Promise<void> {
  await body?.read()[Symbol.asyncIterator]().return?.()
}

/** node:http takes names and values alternating in one list without copying them into an object. */
function flatten (headers: readonly Header[]): string[] {
  const flat: string[] = []
  for (const [name, value] of headers) flat.push(name, value)
  return flat
}

function isInvalidHeader (err: unknown): boolean {
  return err instanceof TypeError && 'code' in err && (err.code === 'ERR_INVALID_CHAR' || err.code === 'ERR_HTTP_INVALID_HEADER_VALUE')
}

function unprintableHeader (cause: unknown): HoldfastError {
  return refusal('INVALID', 400, 'The request asks for a header that HTTP cannot carry', { cause, tip: 'Leave unusual characters out of the query.' })
}
