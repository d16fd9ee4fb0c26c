import type { IncomingMessage, ServerResponse } from 'node:http'
import { drained } from '../drained.ts'
import { type RpcFailure, rpcFailureOf } from './rpc-failure.ts'
import type { StallWatch } from './stall-watch.ts'

/** The trailer that tells of a failure in the middle of an answer. */
const STREAM_ERROR = 'x-stream-error'

/** Headers that scripts of an allowed origin may read. @see go-ipfs-cmds http/responseemitter.go */
export const EXPOSED_HEADERS = 'X-Stream-Output, X-Chunked-Output, X-Content-Length'

/** Longest error in a trailer, in characters: proxies bound trailers as they do headers. */
const MAX_TRAILER_CHARACTERS = 1024

/**
 * An answer in one of the three forms of Kubo: JSON values a line each, one JSON value, or bytes.
 *
 * Every method resolves when the caller has taken enough for more to be sent. The status goes out with the first
 * of it; a failure after that is a trailer.
 *
 * @see go-ipfs-cmds http/responseemitter.go
 */
export class RpcReply {
  readonly #request: IncomingMessage
  readonly #response: ServerResponse
  readonly #signal: AbortSignal
  readonly #stalls: StallWatch
  #form: Readonly<Record<string, string>> = { 'content-type': 'text/plain' }

  constructor (request: IncomingMessage, response: ServerResponse, { signal, stalls }: { signal: AbortSignal, stalls: StallWatch }) {
    this.#request = request
    this.#response = response
    this.#signal = signal
    this.#stalls = stalls
  }

  /** Says that several values follow, or none. */
  asValues (): void {
    this.#form = { 'content-type': 'application/json', 'x-chunked-output': '1' }
  }

  /** Says that bytes follow, or none. Text unless said otherwise, so that no browser takes them for a page. */
  asBytes (contentType: string = 'text/plain', byteLength?: number): void {
    this.#form = { 'content-type': contentType, 'x-stream-output': '1', ...(byteLength === undefined ? {} : { 'x-content-length': String(byteLength) }) }
  }

  /** Sends one of several values. */
  async emit (value: unknown): Promise<void> {
    this.asValues()
    await this.#write(`${JSON.stringify(value)}\n`)
  }

  /** Sends the only value. */
  async one (value: unknown): Promise<void> {
    await this.text(`${JSON.stringify(value)}\n`)
  }

  /** Sends a piece of one JSON value that is too long to be held. */
  async text (piece: string): Promise<void> {
    this.#form = { 'content-type': 'application/json' }
    await this.#write(piece)
  }

  /** Sends bytes, after `asBytes`. */
  async bytes (bytes: Uint8Array): Promise<void> {
    await this.#write(bytes)
  }

  /** Sends the head of the answer before there is anything to say: whoever waits for news knows that it will come. */
  flush (): void {
    this.#begin()
    this.#response.flushHeaders()
  }

  /** Breaks the connection: whoever does not keep up gets nothing more. */
  cut (): void {
    this.#response.destroy()
  }

  /** Ends the answer; without a word, when nothing was sent. */
  end (): void {
    this.#begin()
    this.#response.end()
  }

  /** Ends the answer with a failure and returns the status that it got. */
  fail (err: unknown): RpcFailure {
    const failure = rpcFailureOf(err)
    if (this.#response.headersSent) {
      if (this.#takesTrailers()) this.#response.addTrailers({ [STREAM_ERROR]: failure.message.replaceAll(/[^\x20-\x7e]+/g, ' ').slice(0, MAX_TRAILER_CHARACTERS) })
      // Nothing can be said behind an answer without trailers: it must not look complete.
      else this.#response.destroy()
      this.#response.end()
      return failure
    }
    const body = failure.isPlain ? `${failure.message}\n` : `${JSON.stringify({ Message: failure.message, Code: failure.code, Type: 'error' })}\n`
    this.#response.writeHead(failure.status, {
      'content-type': failure.isPlain ? 'text/plain; charset=utf-8' : 'application/json',
      'content-length': Buffer.byteLength(body),
      'x-content-type-options': 'nosniff',
      ...failure.headers
    })
    this.#response.end(body)
    return failure
  }

  #begin (): void {
    if (this.#response.headersSent) return
    this.#response.writeHead(200, {
      ...this.#form,
      'access-control-allow-headers': EXPOSED_HEADERS,
      'access-control-expose-headers': EXPOSED_HEADERS,
      'x-content-type-options': 'nosniff',
      ...(this.#takesTrailers() ? { trailer: 'X-Stream-Error' } : {})
    })
  }

  /** Only chunks have a place for trailers. */
  #takesTrailers (): boolean {
    return this.#request.httpVersionMinor >= 1
  }

  async #write (piece: string | Uint8Array): Promise<void> {
    this.#signal.throwIfAborted()
    this.#begin()
    if (this.#response.write(piece)) return
    using _waiting = this.#stalls.waitForCaller()
    await drained(this.#response)
    this.#signal.throwIfAborted()
  }
}
