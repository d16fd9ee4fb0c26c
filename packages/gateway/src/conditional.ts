/**
 * Conditional requests: which precondition holds for the representation that would be sent.
 *
 * @see RFC 9110 §13.1 (preconditions), §13.2.2 (their order), §8.8.3.2 (comparison of entity tags)
 */
import { type GatewayRequest, headerOf } from './exchange.ts'

/** What tells versions of a representation apart. */
export interface Validators {
  /** Entity tag with its quotes, weak ones with `W/`. */
  readonly etag: string
  /** Modification time in ms since 1970, when the content knows it. */
  readonly modifiedMs?: number | undefined
}

/** What the preconditions of a request ask for: the content, 304 or 412. */
export type Verdict = 'send' | 'not-modified' | 'failed'

/** Evaluates If-Match, If-Unmodified-Since, If-None-Match and If-Modified-Since, in the order of RFC 9110 §13.2.2. */
export function evaluatePreconditions (request: GatewayRequest, { etag, modifiedMs }: Validators): Verdict {
  const ifMatch = headerOf(request, 'if-match')
  if (ifMatch !== undefined) {
    if (!listsTag(ifMatch, etag, 'strong')) return 'failed'
  } else if (changedSince(headerOf(request, 'if-unmodified-since'), modifiedMs) === true) {
    return 'failed'
  }
  const ifNoneMatch = headerOf(request, 'if-none-match')
  if (ifNoneMatch !== undefined) return listsTag(ifNoneMatch, etag, 'weak') ? 'not-modified' : 'send'
  return changedSince(headerOf(request, 'if-modified-since'), modifiedMs) === false ? 'not-modified' : 'send'
}

/** Reports whether `If-Range` lets a `Range` header count; a weak tag never does. */
export function rangeStillValid (request: GatewayRequest, { etag, modifiedMs }: Validators): boolean {
  const ifRange = headerOf(request, 'if-range')?.trim()
  if (ifRange === undefined) return true
  if (ifRange.startsWith('"')) return ifRange === etag
  return modifiedMs !== undefined && parseHttpDate(ifRange) === wholeSeconds(modifiedMs)
}

/** Reports whether a list of entity tags, or `*`, names this one. */
export function listsTag (list: string, etag: string, comparison: 'weak' | 'strong'): boolean {
  if (list.trim() === '*') return true
  const wanted = comparison === 'weak' ? opaque(etag) : etag
  const tags = list.match(/(?:W\/)?"[^"]*"/g) ?? []
  return tags.some((tag) => comparison === 'weak' ? opaque(tag) === wanted : tag === wanted && !tag.startsWith('W/'))
}

function opaque (etag: string): string {
  return etag.startsWith('W/') ? etag.slice(2) : etag
}

/** Returns `undefined` when there is nothing to compare. */
function changedSince (date: string | undefined, modifiedMs: number | undefined): boolean | undefined {
  const sinceMs = date === undefined ? undefined : parseHttpDate(date)
  return sinceMs === undefined || modifiedMs === undefined ? undefined : wholeSeconds(modifiedMs) > sinceMs
}

/** HTTP dates have no fractions. */
function wholeSeconds (ms: number): number {
  return Math.floor(ms / 1000) * 1000
}

/** Reads an HTTP date in its three forms (RFC 9110 §5.6.7); anything else is ignored, as the RFC asks. */
function parseHttpDate (date: string): number | undefined {
  const text = date.trim()
  // The asctime form names no zone and means GMT; Date.parse would take it for local time.
  const ms = /^\w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d \d{4}$/.test(text)
    ? Date.parse(`${text} GMT`)
    : /^\w{3,9}, .* GMT$/.test(text) ? Date.parse(text) : Number.NaN
  return Number.isNaN(ms) ? undefined : ms
}
