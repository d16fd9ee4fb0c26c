/**
 * Content paths, read from the raw request target.
 *
 * ```
 * /ipfs/<cid>/a%2Fb/../c/?filename=x
 *  namespace  root  segments ["a", "c"], trailing slash, query "filename=x"
 * ```
 *
 * Parsed by hand: `new URL()` collapses `%2e%2e` before anyone can look at it and turns `\` into `/`.
 *
 * @see IPIP-0548, https://specs.ipfs.tech/ipips/ipip-0548/ (path decoding, Ipfs-Uri)
 */
import { refusal } from './http-status.ts'
import { MAX_PATH_BYTES, MAX_PATH_SEGMENTS } from './limits.ts'

export type Namespace = 'ipfs' | 'ipns'

export interface ContentPath {
  readonly namespace: Namespace
  /** CID or name as the client spelled it, not checked yet. */
  readonly root: string
  /** Decoded once, never empty, `.` or `..`. */
  readonly segments: readonly string[]
  readonly trailingSlash: boolean
}

/** What a request target points at. */
export type Route =
  | { readonly kind: 'content', readonly path: ContentPath, readonly query: string }
  /** `/ipfs/` or `/ipns/` with nothing after it. */
  | { readonly kind: 'namespace', readonly namespace: Namespace, readonly query: string }
  /** No path of a gateway: the node may have something there. */
  | { readonly kind: 'elsewhere', readonly path: string }

/**
 * Reads a request target, decoding it exactly once.
 *
 * `%2F` separates segments, empty segments vanish, `..` goes up but never above the content root.
 *
 * @throws a 400 for NUL, invalid UTF-8, malformed percent-encoding, too long a path or too many segments.
 */
export function parseTarget (target: string): Route {
  const { rawPath, query } = splitTarget(target)
  const parts = decodePath(rawPath).split('/')
  if (parts.length > MAX_PATH_SEGMENTS + 1) throw malformed(`more than ${MAX_PATH_SEGMENTS} segments`)
  const named = parts.filter((part) => part !== '')
  const [namespace, root, ...rest] = named
  if (namespace !== 'ipfs' && namespace !== 'ipns') return { kind: 'elsewhere', path: rawPath }
  if (root === undefined) return { kind: 'namespace', namespace, query }
  return { kind: 'content', path: { namespace, root, ...resolveDots(rest, parts.at(-1) === '') }, query }
}

/** Cuts an absolute-form target (RFC 9112 §3.2.2) down to its path, and the query off the path. */
function splitTarget (target: string): { rawPath: string, query: string } {
  const origin = /^https?:\/\/[^/?#]*/i.exec(target)?.[0].length ?? 0
  const end = target.indexOf('#')
  const local = target.slice(origin, end === -1 ? undefined : end)
  const mark = local.indexOf('?')
  return mark === -1
    ? { rawPath: local, query: '' }
    : { rawPath: local.slice(0, mark), query: local.slice(mark + 1) }
}

function decodePath (rawPath: string): string {
  if (Buffer.byteLength(rawPath) > MAX_PATH_BYTES) throw malformed(`longer than ${MAX_PATH_BYTES} bytes`)
  let path = rawPath
  try {
    if (rawPath.includes('%')) path = decodeURIComponent(rawPath)
  } catch (cause) {
    throw malformed('percent-encoding that is not UTF-8', cause)
  }
  if (!path.isWellFormed()) throw malformed('characters that are not UTF-8')
  if (path.includes('\0')) throw malformed('a NUL byte')
  return path
}

function resolveDots (parts: readonly string[], endsInSlash: boolean): Pick<ContentPath, 'segments' | 'trailingSlash'> {
  const segments: string[] = []
  for (const part of parts) {
    if (part === '..') segments.pop()
    else if (part !== '.') segments.push(part)
  }
  // What ends in a dot segment names a directory (RFC 3986 §5.2.4).
  const last = parts.at(-1)
  return { segments, trailingSlash: endsInSlash || last === '.' || last === '..' }
}

function malformed (what: string, cause?: unknown): Error {
  return refusal('INVALID', 400, `Path is malformed: ${what}`, {
    cause,
    tip: 'A content path looks like /ipfs/<cid>/folder/file, each name percent-encoded once.'
  })
}

/** Prints a content path for URLs: each segment percent-encoded in uppercase hex, what RFC 3986 allows in a path left alone. */
export function pathToUrl ({ namespace, root, segments, trailingSlash }: ContentPath): string {
  const inner = segments.map((segment) => `/${encodeSegment(segment)}`).join('')
  return `/${namespace}/${encodeSegment(root)}${inner}${trailingSlash ? '/' : ''}`
}

/** Prints a content path as a person reads it: decoded. */
export function pathToText ({ namespace, root, segments, trailingSlash }: ContentPath): string {
  return `/${[namespace, root, ...segments].join('/')}${trailingSlash ? '/' : ''}`
}

/** Percent-encodes one path segment; `$&+,;=:@!'()*` may stand in a path as they are. */
export function encodeSegment (segment: string): string {
  return encodeURIComponent(segment).replace(/%(?:2[46BC]|3[ABD]|40)/g, (code) => decodeURIComponent(code))
}

/**
 * Prints the canonical URI of a content path: every byte outside `A-Za-z0-9-._~` encoded, and nothing else.
 *
 * @param root The root in its one spelling: CIDv1 in base32, IPNS key in base36, or a DNSLink name.
 * @see IPIP-0548
 */
export function pathToUri ({ namespace, segments, trailingSlash }: ContentPath, root: string): string {
  const inner = segments.map((segment) => `/${encodeStrictly(segment)}`).join('')
  return `${namespace}://${root}${inner}${trailingSlash ? '/' : ''}`
}

/** Percent-encodes all but the unreserved characters of RFC 3986; `encodeURIComponent` leaves `!'()*` too. */
export function encodeStrictly (text: string): string {
  return encodeURIComponent(text).replace(/[!'()*]/g, (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`)
}

/** Makes a query safe to stand in a header again, keeping the encoding it has. */
export function encodeQuery (query: string): string {
  return query.toWellFormed().replace(/[^A-Za-z0-9\-._~!$&'()*+,;=:@/?%]+/g, encodeURIComponent)
}
