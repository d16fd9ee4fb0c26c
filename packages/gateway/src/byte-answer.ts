/**
 * Answers with a run of bytes of known length: preconditions, ranges, HEAD.
 *
 * @see RFC 9110 §14 (range requests), §13 (conditional requests)
 */
import { randomUUID } from 'node:crypto'
import { type ByteRange, contentRange, parseRange } from './byte-ranges.ts'
import { evaluatePreconditions, rangeStillValid, type Validators } from './conditional.ts'
import { type Body, bytesBody, type GatewayResponse, type Header, headerOf } from './exchange.ts'
import { refusal } from './http-status.ts'
import type { ContentPlan } from './plan.ts'

/** One form of content, as bytes that can be read from anywhere. */
export interface Representation extends Validators {
  readonly byteLength: number
  readonly contentType: string
  /** Headers that go with 200, 206 and 304 alike: caching and `X-Ipfs-Roots`. */
  readonly cacheHeaders: readonly Header[]
  /** Headers that go with bytes only. */
  readonly contentHeaders: readonly Header[]
  /** Whether a piece that is read is valid only until the next is asked for. */
  readonly isBorrowed?: boolean
  read(range: ByteRange): AsyncIterable<Uint8Array>
}

/** Answers 200, 206, 304, 412 or 416, without touching `read` before the body is pulled. */
export function answerBytes (plan: ContentPlan, representation: Representation): GatewayResponse {
  const notSent = answerPreconditions(plan, representation, representation.cacheHeaders)
  if (notSent !== undefined) return notSent
  const { byteLength } = representation
  // Ranges are defined for GET alone (RFC 9110 §14.2).
  const header = !plan.isHead && rangeStillValid(plan.request, representation) ? headerOf(plan.request, 'range') : undefined
  const request = parseRange(header, byteLength)
  switch (request.kind) {
    case 'whole': return part(plan, representation, 200, { offset: 0, byteLength })
    case 'ranges': {
      const [first, ...others] = request.ranges
      return first === undefined || others.length > 0
        ? multipart(plan, representation, request.ranges)
        : part(plan, representation, 206, first)
    }
    case 'unsatisfiable':
      throw refusal('INVALID', 416, `Content of ${byteLength} bytes has nothing of the range ${JSON.stringify(header)}`, { headers: [['Content-Range', `bytes */${byteLength}`]] })
  }
}

/** Answers with 304 or 412 when the preconditions of the request say so. */
export function answerPreconditions (plan: ContentPlan, validators: Validators, cacheHeaders: readonly Header[]): GatewayResponse | undefined {
  switch (evaluatePreconditions(plan.request, validators)) {
    case 'not-modified': return { status: 304, headers: [...plan.headers, ...cacheHeaders, ['Etag', validators.etag]], body: undefined }
    case 'failed': throw refusal('INVALID', 412, `Content does not meet the precondition of the request: its entity tag is ${validators.etag}`)
    case 'send': return undefined
  }
}

function headersOf (plan: ContentPlan, representation: Representation): Header[] {
  const { etag, modifiedMs, cacheHeaders, contentHeaders } = representation
  const headers: Header[] = [...plan.headers, ...cacheHeaders, ...contentHeaders, ['Etag', etag], ['Accept-Ranges', 'bytes']]
  if (modifiedMs !== undefined) headers.push(['Last-Modified', new Date(modifiedMs).toUTCString()])
  return headers
}

function part (plan: ContentPlan, representation: Representation, status: 200 | 206, range: ByteRange): GatewayResponse {
  const { contentType, byteLength } = representation
  const headers = headersOf(plan, representation)
  headers.push(['Content-Type', contentType], ['Content-Length', String(range.byteLength)])
  if (status === 206) headers.push(['Content-Range', contentRange(range, byteLength)])
  return { status, headers, body: plan.isHead ? undefined : rangeBody(representation, range) }
}

function rangeBody (representation: Representation, range: ByteRange): Body {
  if (range.byteLength === 0) return bytesBody(new Uint8Array())
  return { byteLength: range.byteLength, isBorrowed: representation.isBorrowed, read: () => representation.read(range) }
}

/** @see RFC 9110 §14.6 (multipart/byteranges) */
function multipart (plan: ContentPlan, representation: Representation, ranges: readonly ByteRange[]): GatewayResponse {
  const boundary = randomUUID()
  const heads = ranges.map((range) => Buffer.from(
    `\r\n--${boundary}\r\nContent-Type: ${representation.contentType}\r\nContent-Range: ${contentRange(range, representation.byteLength)}\r\n\r\n`))
  const end = Buffer.from(`\r\n--${boundary}--\r\n`)
  const byteLength = ranges.reduce((sum, range) => sum + range.byteLength, end.byteLength) + heads.reduce((sum, head) => sum + head.byteLength, 0)
  const headers = headersOf(plan, representation)
  headers.push(['Content-Type', `multipart/byteranges; boundary=${boundary}`], ['Content-Length', String(byteLength)])
  const body: Body = {
    byteLength,
    isBorrowed: representation.isBorrowed,
    async * read () {
      for (const [index, range] of ranges.entries()) {
        yield heads[index] ?? end
        yield * representation.read(range)
      }
      yield end
    }
  }
  return { status: 206, headers, body: plan.isHead ? undefined : body }
}

/** Reads a range out of bytes in memory. */
export function readFrom (bytes: Uint8Array): Representation['read'] {
  return async function * ({ offset, byteLength }) {
    yield bytes.subarray(offset, offset + byteLength)
  }
}
