import type { CID } from 'multiformats/cid'
import { contentDisposition } from './content-disposition.ts'
import type { Header } from './exchange.ts'
import { MAX_PATH_HEADER_BYTES } from './limits.ts'

/** Methods that the gateway answers. */
export const ALLOWED_METHODS = 'GET, HEAD, OPTIONS'

/**
 * Headers of every response: scripts of any origin may read what is public anyway.
 *
 * @see https://specs.ipfs.tech/http-gateways/path-gateway/ §CORS; the lists are those of boxo, with `Ipfs-Uri` (IPIP-0548)
 */
export const CORS_HEADERS: readonly Header[] = [
  ['Access-Control-Allow-Origin', '*'],
  ['Access-Control-Allow-Methods', ALLOWED_METHODS],
  ['Access-Control-Allow-Headers', 'Content-Type, Range, User-Agent, X-Requested-With'],
  ['Access-Control-Expose-Headers', 'Content-Length, Content-Range, Ipfs-Uri, X-Chunked-Output, X-Ipfs-Path, X-Ipfs-Roots, X-Stream-Output']
]

/** `Cache-Control` of content that can never change: anything under /ipfs/ that the gateway did not generate. */
export const IMMUTABLE: Header = ['Cache-Control', 'public, max-age=29030400, immutable']

/** `Cache-Control` of generated pages: they change with the version of the gateway. */
export const GENERATED: Header = ['Cache-Control', 'public, max-age=604800, stale-while-revalidate=2678400']

/** Keeps browsers from guessing a type of their own. */
export const NOSNIFF: Header = ['X-Content-Type-Options', 'nosniff']

/** Lets a generated page load nothing and run nothing, whatever a name smuggles into it. */
export const PAGE_POLICY: Header = ['Content-Security-Policy', "default-src 'none'; style-src 'unsafe-inline'; img-src data:"]

/** The `X-Ipfs-Roots` header; none when the path is so deep that clients would refuse the header. */
export function rootsHeader (cids: readonly CID[]): Header[] {
  const value = cids.join(',')
  return value.length > MAX_PATH_HEADER_BYTES ? [] : [['X-Ipfs-Roots', value]]
}

/** What decides about `Content-Disposition`. */
export interface DispositionOptions {
  /** The disposition of this form of content; `undefined` sends the header only when the query asks for it. */
  readonly type?: 'inline' | 'attachment'
  /** The name when the query has none. */
  readonly fallbackName: string
}

/** The `Content-Disposition` header: `?filename=` names the file, `?download=true` forces it to be saved. */
export function dispositionHeader (query: URLSearchParams, { type, fallbackName }: DispositionOptions): Header[] {
  const filename = query.get('filename') ?? ''
  const download = query.get('download') === 'true'
  if (type === undefined && filename === '' && !download) return []
  return [['Content-Disposition', contentDisposition(download ? 'attachment' : type ?? 'inline', filename === '' ? fallbackName : filename)]]
}
