/**
 * Which form of the content a request asks for.
 *
 * `?format=` wins over `Accept` (IPIP-0523); between several types of `Accept` the quality decides, then their order.
 *
 * @see https://specs.ipfs.tech/http-gateways/path-gateway/ §"Accept (request header)", §"format (request query parameter)"
 */
import { parseAccept, qualityOf, type MediaRange } from './accept.ts'
import { encodeStrictly } from './content-path.ts'
import { refusal } from './http-status.ts'

const MEDIA_TYPES = {
  raw: 'application/vnd.ipld.raw',
  car: 'application/vnd.ipld.car',
  tar: 'application/x-tar',
  'dag-json': 'application/vnd.ipld.dag-json',
  'dag-cbor': 'application/vnd.ipld.dag-cbor',
  json: 'application/json',
  cbor: 'application/cbor',
  'ipns-record': 'application/vnd.ipfs.ipns-record'
} as const

/** A form of content that must be asked for; without one a file is its bytes and a directory a page. */
export type Format = keyof typeof MEDIA_TYPES

/** Returns the media type of a format. */
export function mediaTypeOf (format: Format): string {
  return MEDIA_TYPES[format]
}

const FORMATS: ReadonlyMap<string, Format> = new Map(Object.entries(MEDIA_TYPES).flatMap(([format, type]) => isFormat(format) ? [[type, format]] : []))

function isFormat (text: string): text is Format {
  return Object.hasOwn(MEDIA_TYPES, text)
}

/** The values of the CAR parameters that are answered. */
export const CAR_PARAMETERS = {
  version: ['1'],
  order: ['dfs', 'unk'],
  dups: ['y', 'n']
} as const

/** The outcome of content negotiation. */
export interface FormatChoice {
  readonly format: Format | undefined
  /** Whether the URL alone decided, so that the response does not vary by `Accept`. */
  readonly fromQuery: boolean
  /** Parameters that `Accept` gives the chosen type: `order`, `dups`, `version` of a CAR. */
  readonly parameters: Readonly<Record<string, string>>
  /** `text/html` is named in `Accept`: a person looks at the answer. */
  readonly acceptsHtml: boolean
  /** `Accept` asked for `format` but takes the plain content as well, so that a mismatch is no reason to refuse. */
  readonly acceptsDefault: boolean
}

/**
 * Chooses the format of the response.
 *
 * @throws a 400 when `Accept` leaves nothing but IPLD or IPFS types that this gateway does not know.
 */
export function negotiateFormat (accept: string, query: URLSearchParams): FormatChoice {
  const ranges = accept === '' ? [] : parseAccept(accept)
  const acceptsHtml = ranges.some(({ type, quality }) => type === 'text/html' && quality > 0)
  const wanted = query.get('format') ?? ''
  if (isFormat(wanted)) {
    const parameters = bestAnswerable(ranges.filter(({ type }) => type === MEDIA_TYPES[wanted]))?.parameters ?? {}
    return { format: wanted, fromQuery: true, parameters, acceptsHtml, acceptsDefault: false }
  }
  return { ...fromAccept(ranges), fromQuery: false, acceptsHtml }
}

function fromAccept (ranges: readonly MediaRange[]): Pick<FormatChoice, 'format' | 'parameters' | 'acceptsDefault'> {
  const defaultQuality = Math.max(qualityOf(ranges, 'text/html'), qualityOf(ranges, 'application/octet-stream'))
  const named = bestAnswerable(ranges.filter(({ type }) => FORMATS.has(type) || type === 'text/html'))
  const format = named === undefined ? undefined : FORMATS.get(named.type)
  // A client that likes anything else better than the type it names gets the plain content.
  if (named !== undefined && format !== undefined && named.quality >= defaultQuality) {
    return { format, parameters: named.parameters, acceptsDefault: defaultQuality > 0 }
  }
  if (named === undefined && defaultQuality === 0) refuseUnknownTypes(ranges)
  return { format: undefined, parameters: {}, acceptsDefault: true }
}

/** The best that can be answered; when nothing can, the best, so that the answer says what is wrong with it. */
function bestAnswerable (ranges: readonly MediaRange[]): MediaRange | undefined {
  return bestOf(ranges.filter(isAnswerable)) ?? bestOf(ranges)
}

/** A CAR may be listed several times with other parameters, in the order of preference. */
function isAnswerable ({ type, parameters }: MediaRange): boolean {
  return type !== MEDIA_TYPES.car || Object.entries(CAR_PARAMETERS).every(([name, values]) => {
    const value = parameters[name]
    return value === undefined || values.some((allowed) => allowed === value)
  })
}

/** The highest quality above 0, the first of equals. */
function bestOf (ranges: readonly MediaRange[]): MediaRange | undefined {
  return ranges.reduce<MediaRange | undefined>((best, range) => range.quality > (best?.quality ?? 0) ? range : best, undefined)
}

function refuseUnknownTypes (ranges: readonly MediaRange[]): void {
  const unknown = ranges.find(({ type, quality }) => quality > 0 && /^application\/vnd\.ip(?:ld|fs)\./.test(type))
  if (unknown === undefined) return
  throw refusal('INVALID', 400, `No such format: ${unknown.type}`, { tip: `Ask for one of ${Object.values(MEDIA_TYPES).join(', ')}, or leave Accept out.` })
}

/**
 * Returns the query of `Content-Location`: the URL under which a cache may keep this form of the content.
 * `undefined` when the request's own URL says it all.
 */
export function locationQuery (query: URLSearchParams, { format, fromQuery, parameters }: FormatChoice, accept: string): string | undefined {
  if (format === undefined) return undefined
  const added = format === 'car'
    ? ['version', 'order', 'dups'].filter((name) => parameters[name] !== undefined && !query.has(`car-${name}`))
    : []
  const contradicted = fromQuery && accept !== '' && parseAccept(accept).some(({ type }) => FORMATS.has(type) && FORMATS.get(type) !== format)
  if (fromQuery && added.length === 0 && !contradicted) return undefined
  const pairs = [...query].filter(([name]) => name !== 'format')
  pairs.push(['format', format], ...added.map((name): [string, string] => [`car-${name}`, parameters[name] ?? '']))
  return pairs.map(([name, value]) => `${encodeStrictly(name)}=${encodeStrictly(value)}`).join('&')
}
