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
import { type CacheCounts, LruCache } from './lru-cache.ts'
import { MAX_NEGOTIATION_HEADER_BYTES, MAX_PATH_HEADER_BYTES } from './limits.ts'

/** What a request target and `Accept` mean: the same for every request that has them. */
export interface ContentTarget {
  readonly path: ContentPath
  readonly root: CID
  readonly query: URLSearchParams
  /** The query as received, to be kept on redirects. */
  readonly rawQuery: string
  readonly choice: FormatChoice
  /** Headers of every response to this path: CORS, `Ipfs-Uri` and the like. */
  readonly headers: readonly Header[]
}

/** A request for content whose path and format were understood. */
export interface ContentPlan extends ContentTarget {
  readonly kind: 'content'
  readonly request: GatewayRequest
  readonly target: ContentTarget
  /** The answer has headers only, so content beyond metadata stays unread. */
  readonly isHead: boolean
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

/** Longest target and longest `Accept` whose meaning is remembered, in characters. */
const MAX_REMEMBERED_CHARACTERS = 512

/** Plans requests, and remembers what targets mean: busy gateways are asked for the same ones again and again. */
export class RequestPlanner {
  readonly #options: PlanOptions
  readonly #targets: LruCache<string, ContentTarget>

  /** @param maxCount Targets that are remembered. */
  constructor (options: PlanOptions, maxCount: number) {
    this.#options = options
    this.#targets = new LruCache(maxCount)
  }

  /** How often a target was one whose meaning is remembered. */
  get counts (): CacheCounts {
    return this.#targets
  }

  /** See `planRequest`. */
  plan (request: GatewayRequest): Plan {
    const key = keyOf(request)
    const known = key === undefined ? undefined : this.#targets.get(key)
    if (known !== undefined) return planContent(request, known)
    const plan = planRequest(request, this.#options)
    if (plan.kind === 'content' && key !== undefined) this.#targets.set(key, plan.target)
    return plan
  }
}

/** Everything that a `ContentTarget` depends on; `undefined` for requests that are planned anew each time. */
function keyOf (request: GatewayRequest): string | undefined {
  const { method, target, headers } = request
  const accept = headerOf(request, 'accept') ?? ''
  const usual = (method === 'GET' || method === 'HEAD') && headers['service-worker'] === undefined
  if (!usual || target.length > MAX_REMEMBERED_CHARACTERS || accept.length > MAX_REMEMBERED_CHARACTERS) return undefined
  return accept === '' ? target : `${target}\n${accept}`
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
    return planContent(request, targetOf(request, { path, root, rawQuery: query, headers }))
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

function targetOf (request: GatewayRequest, { path, root, rawQuery, headers }: Pick<ContentTarget, 'path' | 'root' | 'rawQuery' | 'headers'>): ContentTarget {
  const query = new URLSearchParams(rawQuery)
  const choice = negotiate(request, query)
  if (choice.format === 'ipns-record') throw refusal('INVALID', 400, 'Only names have IPNS records', { tip: 'Ask for /ipns/<name>.' })
  const location = locationQuery(query, choice, headerOf(request, 'accept') ?? '')
  const negotiated: Header[] = [
    ...(choice.fromQuery && choice.format !== 'car' ? [] : [['Vary', 'Accept'] as const]),
    ...(location === undefined ? [] : [['Content-Location', `${pathToUrl(path)}?${location}`] as const])
  ]
  return { path, root, query, rawQuery, choice, headers: [...headers, ...negotiated] }
}

function planContent (request: GatewayRequest, target: ContentTarget): Plan {
  try {
    requireShort(request, 'if-none-match')
  } catch (err) {
    return { kind: 'respond', response: errorResponse(request, err, target.headers) }
  }
  return { kind: 'content', ...target, request, target, isHead: request.method === 'HEAD', onlyIfCached: isOnlyIfCached(request) }
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
