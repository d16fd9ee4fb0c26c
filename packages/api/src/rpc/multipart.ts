/**
 * `multipart/form-data` as a stream: parts one after the other, each read piece by piece.
 *
 * ```
 * body  = [preamble] delimiter part *(delimiter part) close [epilogue]
 * delimiter = CRLF "--" boundary *(SP / HT) CRLF        the first one may lack its CRLF
 * part  = *(header CRLF) CRLF content
 * close = CRLF "--" boundary "--"
 * ```
 *
 * Everything comes from a stranger: what is not content is bounded, and content is never held.
 *
 * @see RFC 2046 §5.1.1, RFC 7578
 */
import { HoldfastError } from '@holdfast/core'

/** Longest headers of one part, in bytes: a path of 4 KiB with every byte percent-encoded, and room for the rest. */
export const MAX_PART_HEADER_BYTES: number = 16 * 1024

/** Most headers of one part. Kubo's clients send four. */
export const MAX_PART_HEADERS = 32

/** Most bytes before the first boundary; no client that we know sends any. */
export const MAX_PREAMBLE_BYTES: number = 16 * 1024

/** Longest boundary in characters. @see RFC 2046 §5.1.1 */
const MAX_BOUNDARY_CHARACTERS = 70

/** One part of an upload. */
export interface MultipartPart {
  /** By lower-case name. */
  readonly headers: ReadonlyMap<string, string>
  /** The content, once. What is left of it is passed over when the next part is asked for. */
  readonly content: AsyncIterable<Uint8Array>
}

/**
 * Returns the boundary that a `Content-Type` names.
 *
 * @throws `INVALID` when it is no `multipart/form-data` with a usable boundary.
 */
export function boundaryOf (contentType: string): string {
  const boundary = /^multipart\/form-data\s*;/i.test(contentType)
    ? /;\s*boundary=(?:"([^"\\]{1,70})"|([^\s;"]{1,70}))\s*(?:;|$)/i.exec(contentType)?.slice(1).find((found) => found !== undefined)
    : undefined
  if (boundary === undefined || boundary.length > MAX_BOUNDARY_CHARACTERS || !/^[\x20-\x7e]*[\x21-\x7e]$/.test(boundary)) {
    throw new HoldfastError('INVALID', 'The request has no multipart/form-data body with a boundary')
  }
  return boundary
}

/**
 * Splits a body into its parts, reading no further than what was asked for.
 *
 * @throws `INVALID` for a body that is not of this form or ends before its last boundary; `LIMIT` for headers beyond the bounds above.
 */
export async function * parseMultipart (body: AsyncIterable<Uint8Array>, boundary: string): AsyncGenerator<MultipartPart, void, undefined> {
  const source = new DelimitedSource(body, Buffer.from(`\r\n--${boundary}`))
  await source.skipPreamble()
  while (await source.startsPart()) {
    const headers = await source.headers()
    const content = source.content()
    yield { headers, content }
    // Whoever left the content unread still gets the next part.
    for await (const _ of content);
  }
}

const CR = 0x0d
const LINE_END = Buffer.from('\r\n')
const HEADERS_END = Buffer.from('\r\n\r\n')

class DelimitedSource {
  readonly #source: AsyncIterator<Uint8Array>
  readonly #delimiter: Buffer
  /** What was read and not used. The line end that a first boundary may lack stands before everything. */
  #buffer: Buffer = Buffer.from(LINE_END)

  constructor (body: AsyncIterable<Uint8Array>, delimiter: Buffer) {
    this.#source = body[Symbol.asyncIterator]()
    this.#delimiter = delimiter
  }

  async skipPreamble (): Promise<void> {
    let byteLength = 0
    for await (const piece of this.content()) {
      byteLength += piece.byteLength
      if (byteLength > MAX_PREAMBLE_BYTES) throw new HoldfastError('LIMIT', `No boundary in the first ${MAX_PREAMBLE_BYTES} bytes of the upload`)
    }
  }

  /** After a delimiter: reports whether a part follows, or the end. */
  async startsPart (): Promise<boolean> {
    await this.#hold(2)
    if (this.#buffer.subarray(0, 2).toString('latin1') === '--') return false
    const padding = await this.#takeUntil(LINE_END, 'boundary line')
    if (!/^[ \t]*$/.test(padding.toString('latin1'))) throw new HoldfastError('INVALID', 'A boundary of the upload is followed by other text')
    return true
  }

  async headers (): Promise<ReadonlyMap<string, string>> {
    await this.#hold(2)
    if (this.#buffer.subarray(0, 2).equals(LINE_END)) {
      this.#buffer = this.#buffer.subarray(2)
      return new Map()
    }
    const lines = (await this.#takeUntil(HEADERS_END, 'headers of a part')).toString().split('\r\n')
    if (lines.length > MAX_PART_HEADERS) throw new HoldfastError('LIMIT', `A part of the upload has more than ${MAX_PART_HEADERS} headers`)
    return new Map(lines.map(parseHeader))
  }

  /** Yields bytes up to the next delimiter, which is used up. */
  async * content (): AsyncGenerator<Buffer, void, undefined> {
    for (;;) {
      const end = this.#buffer.indexOf(this.#delimiter)
      const byteLength = end >= 0 ? end : this.#buffer.byteLength - this.#pendingByteLength()
      const piece = this.#buffer.subarray(0, byteLength)
      this.#buffer = this.#buffer.subarray(end >= 0 ? end + this.#delimiter.byteLength : byteLength)
      if (piece.byteLength > 0) yield piece
      if (end >= 0) return
      await this.#read()
    }
  }

  /** Length of the end of the buffer that may be the beginning of a delimiter. */
  #pendingByteLength (): number {
    const { byteLength } = this.#buffer
    for (let at = this.#buffer.indexOf(CR, Math.max(0, byteLength - this.#delimiter.byteLength + 1)); at >= 0; at = this.#buffer.indexOf(CR, at + 1)) {
      if (this.#buffer.compare(this.#delimiter, 0, byteLength - at, at) === 0) return byteLength - at
    }
    return 0
  }

  async #takeUntil (end: Buffer, what: string): Promise<Buffer> {
    for (let from = 0; ;) {
      const at = this.#buffer.indexOf(end, from)
      if (at > MAX_PART_HEADER_BYTES || (at < 0 && this.#buffer.byteLength > MAX_PART_HEADER_BYTES + end.byteLength)) {
        throw new HoldfastError('LIMIT', `The ${what} is longer than ${MAX_PART_HEADER_BYTES} bytes`)
      }
      if (at >= 0) {
        const taken = this.#buffer.subarray(0, at)
        this.#buffer = this.#buffer.subarray(at + end.byteLength)
        return taken
      }
      from = Math.max(0, this.#buffer.byteLength - end.byteLength + 1)
      await this.#read()
    }
  }

  /** Reads until the buffer holds so many bytes. */
  async #hold (byteLength: number): Promise<void> {
    while (this.#buffer.byteLength < byteLength) await this.#read()
  }

  async #read (): Promise<void> {
    const next = await this.#source.next()
    if (next.done === true) throw new HoldfastError('INVALID', 'The upload ended before its last boundary')
    const { buffer, byteOffset, byteLength } = next.value
    const piece = Buffer.from(buffer, byteOffset, byteLength)
    this.#buffer = this.#buffer.byteLength === 0 ? piece : Buffer.concat([this.#buffer, piece])
  }
}

function parseHeader (line: string): [string, string] {
  const [, name, value] = /^([!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}):[ \t]*(.*)$/s.exec(line) ?? []
  if (name === undefined || value === undefined || /[\0\r\n]/.test(value)) throw new HoldfastError('INVALID', 'A part of the upload has a header that is none')
  return [name.toLowerCase(), value.trimEnd()]
}
