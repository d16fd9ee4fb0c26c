/**
 * The `Range` request header.
 *
 * ```
 * Range: bytes=0-499,1000-,-3      from-to, from-end, the last n
 * ```
 *
 * @see RFC 9110 §14.1.2 (byte ranges), §14.2 (Range)
 */
import { MAX_RANGE_COUNT } from './limits.ts'

/** A piece of a representation. */
export interface ByteRange {
  readonly offset: number
  readonly byteLength: number
}

/** What a `Range` header asks of a representation of known length. */
export type RangeRequest =
  /** No range, not one of bytes, malformed, or one that would cost more than the whole: send it all. */
  | { readonly kind: 'whole' }
  | { readonly kind: 'ranges', readonly ranges: readonly ByteRange[] }
  /** Well formed, but nothing of it lies inside: 416. */
  | { readonly kind: 'unsatisfiable' }

const WHOLE: RangeRequest = { kind: 'whole' }

/**
 * Reads a `Range` header against a representation of `byteLength` bytes.
 *
 * Ranges keep the order of the request. More than `MAX_RANGE_COUNT`, or together more bytes than the whole, count
 * as no range at all, so that a request cannot make a response larger than the file.
 */
export function parseRange (header: string | undefined, byteLength: number): RangeRequest {
  const specs = /^\s*bytes\s*=(.*)$/i.exec(header ?? '')?.[1]?.split(',').map((spec) => spec.trim()).filter((spec) => spec !== '')
  if (specs === undefined || specs.length === 0 || specs.length > MAX_RANGE_COUNT || byteLength === 0) return WHOLE
  const ranges: ByteRange[] = []
  for (const spec of specs) {
    const range = parseSpec(spec, byteLength)
    if (range === 'malformed') return WHOLE
    if (range !== undefined) ranges.push(range)
  }
  if (ranges.length === 0) return { kind: 'unsatisfiable' }
  const total = ranges.reduce((sum, range) => sum + range.byteLength, 0)
  return total > byteLength ? WHOLE : { kind: 'ranges', ranges }
}

/** Returns `undefined` for a range outside of the representation. */
function parseSpec (spec: string, byteLength: number): ByteRange | undefined | 'malformed' {
  const match = /^(\d*)\s*-\s*(\d*)$/.exec(spec)
  if (match === null) return 'malformed'
  const [, first = '', last = ''] = match
  if (first === '' && last === '') return 'malformed'
  // Digits beyond 2^53 lose their low bits, which no file is long enough to notice.
  if (first === '') {
    const suffix = Math.min(Number(last), byteLength)
    return suffix === 0 ? undefined : { offset: byteLength - suffix, byteLength: suffix }
  }
  const from = Number(first)
  const to = last === '' ? Number.POSITIVE_INFINITY : Number(last)
  if (to < from) return 'malformed'
  return from >= byteLength ? undefined : { offset: from, byteLength: Math.min(to, byteLength - 1) - from + 1 }
}

/** Prints the `Content-Range` of one piece. */
export function contentRange ({ offset, byteLength }: ByteRange, total: number): string {
  return `bytes ${offset}-${offset + byteLength - 1}/${total}`
}
