/**
 * The `Accept` request header.
 *
 * @see RFC 9110 §12.5.1
 */

/** One member of the list. */
export interface MediaRange {
  /** In lower case: a media type, all types of a group, or all types. */
  readonly type: string
  /** Parameters before `q`, names and values in lower case. */
  readonly parameters: Readonly<Record<string, string>>
  /** 0 (not acceptable) to 1. */
  readonly quality: number
}

/** Most members that are looked at; browsers send fewer than ten. */
const MAX_MEDIA_RANGES = 64

/** Reads an `Accept` header; members that are malformed are passed over. */
export function parseAccept (header: string): MediaRange[] {
  return splitOutsideQuotes(header, ',').slice(0, MAX_MEDIA_RANGES).flatMap(parseMediaRange)
}

function parseMediaRange (text: string): MediaRange[] {
  const [first = '', ...rest] = splitOutsideQuotes(text, ';')
  const type = first.trim().toLowerCase()
  if (!/^[^\s/]+\/[^\s/]+$/.test(type)) return []
  const parameters: Record<string, string> = Object.create(null)
  let quality = 1
  for (const part of rest) {
    const [name = '', ...value] = part.split('=')
    const key = name.trim().toLowerCase()
    const text = value.join('=').trim().replace(/^"(.*)"$/, '$1').toLowerCase()
    if (key === 'q') {
      quality = parseQuality(text)
      break // What follows q are extensions of Accept, not of the type.
    }
    if (key !== '') parameters[key] = text
  }
  return [{ type, parameters, quality }]
}

function parseQuality (text: string): number {
  return /^(?:0(?:\.\d{0,3})?|1(?:\.0{0,3})?)$/.test(text) ? Number(text) : 1
}

function splitOutsideQuotes (text: string, separator: ',' | ';'): string[] {
  if (!text.includes('"')) return text.split(separator)
  return text.match(separator === ',' ? /(?:[^,"]|"[^"]*"?)+/g : /(?:[^;"]|"[^"]*"?)+/g) ?? []
}

/** Returns how welcome a media type is: the quality of the most specific range that covers it, or 0. */
export function qualityOf (ranges: readonly MediaRange[], type: string): number {
  const group = `${type.slice(0, type.indexOf('/'))}/*`
  const covering = ranges.find((range) => range.type === type) ?? ranges.find((range) => range.type === group) ?? ranges.find((range) => range.type === '*/*')
  return covering?.quality ?? 0
}
