/**
 * The bytes that go back through the door, so that progress, results and content share one stream
 * and its end can be told from its breaking off.
 *
 * ```
 * frame   type (1 byte) · length (4 bytes, big-endian) · payload
 * 1 event   JSON, of the operation
 * 2 bytes   content
 * 3 end     empty; nothing follows
 * 4 error   JSON { code, message, details }; nothing follows
 * ```
 */
import { ERROR_CODES, type ErrorCode, HoldfastError, isHoldfastError } from '@holdfast/core/errors'

/** Longest payload in bytes; longer content is cut into several frames. */
export const MAX_FRAME_BYTES: number = 1024 * 1024

/** Longest JSON payload in bytes: a report of an error or an event, never content. */
const MAX_JSON_BYTES: number = 256 * 1024

const HEADER_BYTES = 5

const EVENT = 1
const BYTES = 2
const END = 3
const ERROR = 4

/** What a frame says. */
export type Frame =
  | { readonly type: 'event', readonly event: unknown }
  | { readonly type: 'bytes', readonly bytes: Uint8Array }

/** Encodes an event. */
export function encodeEvent (event: unknown): Uint8Array[] {
  return encode(EVENT, Buffer.from(JSON.stringify(event)))
}

/** Encodes content without copying it: headers and views in turn. */
export function encodeBytes (bytes: Uint8Array): Uint8Array[] {
  const out: Uint8Array[] = []
  for (let at = 0; at < bytes.byteLength; at += MAX_FRAME_BYTES) out.push(...encode(BYTES, bytes.subarray(at, at + MAX_FRAME_BYTES)))
  return out
}

/** Encodes the frame that says that everything was sent. */
export function encodeEnd (): Uint8Array[] {
  return encode(END, new Uint8Array())
}

/** Encodes a failure; what is not a `HoldfastError` travels as its message alone, without a code. */
export function encodeError (err: unknown): Uint8Array[] {
  const message = err instanceof Error ? err.message : String(err)
  const json = isHoldfastError(err) ? { code: err.code, message, details: printable(err.details) } : { message }
  const text = JSON.stringify(json)
  return encode(ERROR, Buffer.from(Buffer.byteLength(text) <= MAX_JSON_BYTES ? text : JSON.stringify({ ...json, details: {} })))
}

/**
 * Reads frames until the end frame. Content comes in the pieces in which it arrived: a frame of it is never put together.
 *
 * @throws the failure that the other side sent; `UNAVAILABLE` when the stream broke off; `INVALID` for
 * bytes that are no frames.
 */
export async function * decodeFrames (source: AsyncIterable<Uint8Array>): AsyncIterable<Frame> {
  const pieces = new Pieces(source)
  for (;;) {
    const header = await pieces.take(HEADER_BYTES)
    const type = header.readUInt8(0)
    const length = header.readUInt32BE(1)
    if (length > MAX_FRAME_BYTES) throw new HoldfastError('INVALID', `The daemon sent a frame of ${length} bytes; is it of another version?`)
    switch (type) {
      case EVENT: yield { type: 'event', event: parseJson(await pieces.take(length)) }; break
      case BYTES: for (let left = length; left > 0;) {
        const bytes = await pieces.some(left)
        left -= bytes.byteLength
        yield { type: 'bytes', bytes }
      } break
      case END: return
      case ERROR: throw decodeError(parseJson(await pieces.take(length)))
      default: throw new HoldfastError('INVALID', `The daemon sent a frame of unknown type ${type}; is it of another version?`)
    }
  }
}

/** Takes bytes off a stream; holds one piece of it. */
class Pieces {
  readonly #source: AsyncIterator<Uint8Array>
  #rest: Buffer = Buffer.alloc(0)

  constructor (source: AsyncIterable<Uint8Array>) {
    this.#source = source[Symbol.asyncIterator]()
  }

  /** At least one byte and at most `maxBytes`, as a view. */
  async some (maxBytes: number): Promise<Buffer> {
    while (this.#rest.byteLength === 0) {
      const next = await this.#source.next()
      if (next.done === true) throw new HoldfastError('UNAVAILABLE', 'The connection to the daemon broke off before the answer was complete')
      this.#rest = Buffer.from(next.value.buffer, next.value.byteOffset, next.value.byteLength)
    }
    const bytes = this.#rest.subarray(0, maxBytes)
    this.#rest = this.#rest.subarray(bytes.byteLength)
    return bytes
  }

  /** Exactly so many bytes. */
  async take (byteLength: number): Promise<Buffer> {
    const parts: Buffer[] = []
    for (let left = byteLength; left > 0;) {
      const part = await this.some(left)
      left -= part.byteLength
      parts.push(part)
    }
    const [only] = parts
    return parts.length === 1 && only !== undefined ? only : Buffer.concat(parts)
  }
}

function encode (type: number, payload: Uint8Array): Uint8Array[] {
  const header = Buffer.alloc(HEADER_BYTES)
  header.writeUInt8(type, 0)
  header.writeUInt32BE(payload.byteLength, 1)
  return payload.byteLength === 0 ? [header] : [header, payload]
}

function parseJson (payload: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength).toString())
  } catch (cause) {
    throw new HoldfastError('INVALID', 'The daemon sent a frame that is not JSON', { cause })
  }
}

function decodeError (json: unknown): Error {
  const { code, message, details } = json as { code?: unknown, message?: unknown, details?: unknown }
  const known = ERROR_CODES.find((candidate): candidate is ErrorCode => candidate === code)
  if (known === undefined) return new Error(`The daemon failed: ${String(message)}`)
  return new HoldfastError(known, String(message), typeof details === 'object' && details !== null ? { ...details } : {})
}

/** Details as JSON can carry them: what is neither a plain value nor a list becomes text. */
function printable (details: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(details).map(([key, value]) => [key, isPlain(value) ? value : String(value)]))
}

function isPlain (value: unknown): boolean {
  if (Array.isArray(value)) return value.every(isPlain)
  return value === null || ['string', 'number', 'boolean'].includes(typeof value)
}
