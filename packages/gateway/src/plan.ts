/**
 * The first half of an answer: what the request asks for, found out without any I/O.
 */
import { cidToBase32, type HoldfastError, isHoldfastError, parseCid, requireVerifiable } from '@holdfast/core'
import type { CID } from 'multiformats/cid'
import { type ContentPath, encodeQuery, parseTarget, pathToText, pathToUri, pathToUrl } from './content-path.ts'
import { errorResponse } from './error-response.ts'
import { type GatewayRequest, type GatewayResponse, type Header, headerOf } from './exchange.ts'
import { type FormatChoice, locationQuery, negotiateFormat } from './format.ts'
import { ALLOWED_METHODS, CORS_HEADERS } from './headers.ts'
import { refusal } from './http-status.ts'
import { MAX_NEGOTIATION_HEADER_BYTES, MAX_PATH_HEADER_BYTES } from './limits.ts'

/** A request for content whose path and format were understood. */
export interface ContentPlan {
  readonly kind: 'content'
  readonly request: GatewayRequest
  /** The answer has headers only, so content beyond metadata stays unread. */
  readonly isHead: boolean
  readonly path: ContentPath
  readonly root: CID
  readonly query: URLSearchParams
  /** The query as received, to be kept on redirects. */
  readonly rawQuery: string
  readonly choice: FormatChoice
  /** Headers of every response to this path: CORS, `Ipfs-Uri` and the like. */
  readonly headers: readonly Header[]
  /** Nothing may be fetched for this request; what is not here is answered with 412. */
  readonly onlyIfCached: boolean
}

/** What is to be done about a request: send a response that needs no content, or answer with content. */
export type Plan =
  | { readonly kind: 'respond', readonly response: GatewayResponse }
  | ContentPlan

export interface PlanOptions {
  /** Sends `X-Ipfs-Path`, which `Ipfs-Uri` replaced (IPIP-0548). */
  readonly legacyXIpfsPath: boolean
}

/** Reads a request. Whatever is wrong with it becomes a response; nothing is thrown. */
export function planRequest (request: GatewayRequest, options: PlanOptions): Plan {
  try {
    return planMethod(request, options)
  } catch (err) {
    return { kind: 'respond', response: errorResponse(request, err) }
  }
}

function planMethod (request: GatewayRequest, options: PlanOptions): Plan {
  if (request.method === 'OPTIONS') return respond(200, [...CORS_HEADERS, ['Allow', ALLOWED_METHODS], ['Content-Length', '0']])
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    throw refusal('INVALID', 405, `Method ${request.method} is not allowed: the gateway only reads`, { headers: [['Allow', ALLOWED_METHODS]] })
  }
  const route = parseTarget(request.target)
  switch (route.kind) {
    case 'content': return planPath(request, route, options)
    case 'namespace': return planUriRedirect(route.query, route.namespace)
    case 'elsewhere': throw refusal('NOT_FOUND', 404, `There is nothing at ${JSON.stringify(route.path)}`, { tip: 'Content is found at /ipfs/<cid>.' })
  }
}

/**
 * `/ipfs/?uri=ipfs://…`, which browsers send for registered protocol handlers.
 *
 * @see https://specs.ipfs.tech/http-gateways/subdomain-gateway/ §"URI router"
 */
function planUriRedirect (query: string, namespace: string): Plan {
  const uri = new URLSearchParams(query).get('uri')
  if (uri === null) throw refusal('INVALID', 400, `Path /${namespace}/ names no content`, { tip: `Write /${namespace}/ and a CID or name after it.` })
  const [, scheme = '', rest = '', innerQuery = ''] = /^(ipfs|ipns):\/\/([^?#]+)(\?[^#]*)?/i.exec(uri) ?? []
  const route = scheme === '' ? undefined : parseTarget(`/${scheme.toLowerCase()}/${rest}`)
  if (route?.kind !== 'content') throw refusal('INVALID', 400, `Query parameter uri is not an ipfs:// or ipns:// address: ${JSON.stringify(uri)}`)
  return redirect(301, route.path, innerQuery.slice(1), CORS_HEADERS)
}

function planPath (request: GatewayRequest, { path, query }: { path: ContentPath, query: string }, options: PlanOptions): Plan {
  const repaired = withoutSuperfluousNamespace(path)
  if (repaired !== undefined) return redirect(301, repaired, query, CORS_HEADERS)
  refuseWideServiceWorker(request, path)
  if (path.namespace === 'ipns') throw refuseName(request, path, query)

  const root = parseRoot(path)
  const headers = [...CORS_HEADERS, ...pathHeaders(path, root, options)]
  try {
    return planContent(request, { path, root, query, headers })
  } catch (err) {
    // Thrown once the path is known: the answer says which content it is about.
    return { kind: 'respond', response: errorResponse(request, err, headers) }
  }
}

/** `/ipfs/ipfs/<cid>` and `/ipfs/ipns/<name>`, from links that were put together wrongly (boxo does the same). */
function withoutSuperfluousNamespace ({ namespace, root, segments: [inner, ...segments], trailingSlash }: ContentPath): ContentPath | undefined {
  if (namespace !== 'ipfs' || (root !== 'ipfs' && root !== 'ipns') || inner === undefined) return undefined
  const path: ContentPath = { namespace: root, root: inner, segments, trailingSlash }
  if (root === 'ipfs') parseRoot(path)
  return path
}

/** A service worker of a whole `/ipfs/<cid>` scope could take over other content on this origin. */
function refuseWideServiceWorker (request: GatewayRequest, { segments, trailingSlash }: ContentPath): void {
  if (headerOf(request, 'service-worker') === 'script' && segments.length === 0 && !trailingSlash) {
    throw refusal('INVALID', 400, 'A service worker cannot be registered for this scope', { tip: 'Serve it from a path below /ipfs/<cid>/.' })
  }
}

function refuseName (request: GatewayRequest, path: ContentPath, query: string): HoldfastError {
  const { format } = negotiate(request, new URLSearchParams(query))
  if (format === 'ipns-record' && path.segments.length > 0) return refusal('INVALID', 400, 'An IPNS record has no path below it', { tip: `Ask for /ipns/${path.root}.` })
  return refusal('UNSUPPORTED', 501, `Names are not resolved by this gateway: ${JSON.stringify(pathToText(path))}`, { tip: 'Resolve the name elsewhere and ask for /ipfs/<cid>.' })
}

function parseRoot (path: ContentPath): CID {
  try {
    const cid = parseCid(path.root)
    requireVerifiable(cid)
    return cid
  } catch (cause) {
    if (!isHoldfastError(cause) || cause.code === 'UNSUPPORTED') throw cause
    throw refusal('INVALID', 400, `Cannot serve invalid path ${JSON.stringify(pathToText(path))}: ${cause.message}`, { cause, tip: 'A CID looks like bafybei… or Qm…; check that it was copied in full.' })
  }
}

function pathHeaders (path: ContentPath, root: CID, { legacyXIpfsPath }: PlanOptions): Header[] {
  const headers: Header[] = []
  const uri = pathToUri(path, cidToBase32(root))
  if (uri.length <= MAX_PATH_HEADER_BYTES) headers.push(['Ipfs-Uri', uri])
  if (legacyXIpfsPath) {
    const text = pathToText(path)
    if (/^[\t\x20-\x7e]*$/.test(text)) headers.push(['X-Ipfs-Path', text])
  }
  return headers
}

function planContent (request: GatewayRequest, { path, root, query: rawQuery, headers }: { path: ContentPath, root: CID, query: string, headers: Header[] }): ContentPlan {
  const query = new URLSearchParams(rawQuery)
  requireShort(request, 'if-none-match')
  const choice = negotiate(request, query)
  if (choice.format === 'ipns-record') throw refusal('INVALID', 400, 'Only names have IPNS records', { tip: 'Ask for /ipns/<name>.' })
  if (!choice.fromQuery || choice.format === 'car') headers.push(['Vary', 'Accept'])
  const location = locationQuery(query, choice, headerOf(request, 'accept') ?? '')
  if (location !== undefined) headers.push(['Content-Location', `${pathToUrl(path)}?${location}`])
  return { kind: 'content', request, isHead: request.method === 'HEAD', path, root, query, rawQuery, choice, headers, onlyIfCached: isOnlyIfCached(request) }
}

function negotiate (request: GatewayRequest, query: URLSearchParams): FormatChoice {
  requireShort(request, 'accept')
  return negotiateFormat(headerOf(request, 'accept') ?? '', query)
}

function requireShort (request: GatewayRequest, name: string): void {
  if ((headerOf(request, name)?.length ?? 0) > MAX_NEGOTIATION_HEADER_BYTES) {
    throw refusal('LIMIT', 400, `Header ${name} is longer than ${MAX_NEGOTIATION_HEADER_BYTES} bytes`)
  }
}

function isOnlyIfCached (request: GatewayRequest): boolean {
  return headerOf(request, 'cache-control')?.toLowerCase().split(',').some((directive) => directive.trim() === 'only-if-cached') === true
}

/** Answers with a redirect inside the gateway: `Location` always begins with a namespace, never with `//`. */
export function redirect (status: 301 | 302, path: ContentPath, rawQuery: string, headers: readonly Header[]): Plan & { kind: 'respond' } {
  const location = `${pathToUrl(path)}${rawQuery === '' ? '' : `?${encodeQuery(rawQuery)}`}`
  return respond(status, [...headers, ['Location', location], ['Content-Length', '0']])
}

function respond (status: number, headers: readonly Header[]): Plan & { kind: 'respond' } {
  return { kind: 'respond', response: { status, headers, body: undefined } }
}
