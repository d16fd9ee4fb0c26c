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
  #contentLength: number | undefined

  constructor (request: IncomingMessage, response: ServerResponse, { signal, stalls }: { signal: AbortSignal, stalls: StallWatch }) {
    this.#request = request
    this.#response = response
    this.#signal = signal
    this.#stalls = stalls
  }

  /** Sends one of several values. */
  async emit (value: unknown): Promise<void> {
    this.#begin({ 'content-type': 'application/json', 'x-chunked-output': '1' })
    await this.#write(`${JSON.stringify(value)}\n`)
  }

  /** Sends the only value. */
  async one (value: unknown): Promise<void> {
    this.#begin({ 'content-type': 'application/json' })
    await this.#write(`${JSON.stringify(value)}\n`)
  }

  /** Sends a piece of one JSON value that is too long to be held. */
  async text (piece: string): Promise<void> {
    this.#begin({ 'content-type': 'application/json' })
    await this.#write(piece)
  }

  /** Begins an answer of several values, of which there may be none. */
  start (): void {
    this.#begin({ 'content-type': 'application/json', 'x-chunked-output': '1' })
    this.#response.flushHeaders()
  }

  /** Begins an answer of bytes, of which there may be none. Text unless said otherwise, so that no browser takes it for a page. */
  startBytes (contentType: string = 'text/plain', byteLength?: number): void {
    this.#contentLength = byteLength
    this.#begin({ 'content-type': contentType, 'x-stream-output': '1' })
  }

  /** Sends bytes. */
  async bytes (bytes: Uint8Array): Promise<void> {
    this.startBytes()
    await this.#write(bytes)
  }

  /** Ends the answer; without a word, when nothing was sent. */
  end (): void {
    this.#begin({ 'content-type': 'text/plain' })
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

  #begin (headers: Readonly<Record<string, string>>): void {
    if (this.#response.headersSent) return
    this.#response.writeHead(200, {
      ...headers,
      'access-control-allow-headers': EXPOSED_HEADERS,
      'access-control-expose-headers': EXPOSED_HEADERS,
      'x-content-type-options': 'nosniff',
      ...(this.#contentLength === undefined ? {} : { 'x-content-length': String(this.#contentLength) }),
      ...(this.#takesTrailers() ? { trailer: 'X-Stream-Error' } : {})
    })
  }

  /** Only chunks have a place for trailers. */
  #takesTrailers (): boolean {
    return this.#request.httpVersionMinor >= 1
  }

  async #write (piece: string | Uint8Array): Promise<void> {
    this.#signal.throwIfAborted()
    if (this.#response.write(piece)) return
    using _waiting = this.#stalls.waitForCaller()
    await drained(this.#response)
    this.#signal.throwIfAborted()
  }
}
