import type { BlockReader } from '@holdfast/blockstore'
import { CODECS, type HoldfastError, isErrorCode, type Logger } from '@holdfast/core'
import type { PlaceOf } from '@holdfast/dag'
import type { CID } from 'multiformats/cid'
import { answerCar } from './answer-car.ts'
import { answerCodec, answerFile, answerOpaque, answerRawBlock, answerSymlink, contentTypeOf, type FileEntry, fileFacts, formatFitsCodec, knownFile, refuseFormat, refuseRemainder } from './answer-content.ts'
import { answerDagPage } from './answer-dag-page.ts'
import { answerDirectory, answerDirectoryAsJson } from './answer-directory.ts'
import { answerTar } from './answer-tar.ts'
import { ContentMetadata, type ResolvedPath } from './content-metadata.ts'
import { pathToText } from './content-path.ts'
import { errorResponse, statusOf } from './error-response.ts'
import { requestFailed } from './events.ts'
import type { GatewayRequest, GatewayResponse } from './exchange.ts'
import type { Format } from './format.ts'
import { refusal } from './http-status.ts'
import { DEFAULT_GATEWAY_LIMITS, type GatewayLimits } from './limits.ts'
import type { CacheCounts } from './lru-cache.ts'
import { type ContentPlan, RequestPlanner } from './plan.ts'
import { primeBody } from './primed-body.ts'

export interface GatewayOptions {
  /** What is here, and nothing else. */
  readonly blocks: BlockReader
  /** Opens a reader for one request, which may fetch what is not here. @default blocks */
  readonly openReader?: ((root: CID, signal: AbortSignal) => BlockReader & Disposable) | undefined
  /** Where blocks lie in files of this machine: long content is read there, and checked. @default all is read from blocks */
  readonly placeOf?: PlaceOf | undefined
  readonly log: Logger
  readonly limits?: Partial<GatewayLimits> | undefined
  /** Sends `X-Ipfs-Path` beside `Ipfs-Uri`, for clients and suites from before IPIP-0548. @default false */
  readonly legacyXIpfsPath?: boolean | undefined
  /** Answers whether a block is here without fetching it, for `only-if-cached`. @default blocks.has */
  readonly isLocal?: ((cid: CID) => Promise<boolean>) | undefined
}

/** The IPFS HTTP gateway, free of any transport. */
export interface Gateway {
  /**
   * Answers a request. The body is read while the caller pulls it; its first bytes have been read already, so
   * content that is missing from the start has a status that says so.
   *
   * Failures are answers; it rejects only with `signal.reason`.
   */
  handle(request: GatewayRequest): Promise<GatewayResponse>
}

/** A gateway over blocks, which remembers what content is. */
export interface BlockGateway extends Gateway {
  /** How often each of its memories had what it was asked for: `targets`, `paths`, `entries`, `types`, `indexes`. */
  cacheCounts(): Readonly<Record<string, CacheCounts>>
}

/**
 * Creates a gateway over a reader of blocks.
 *
 * @see https://specs.ipfs.tech/http-gateways/path-gateway/, https://specs.ipfs.tech/http-gateways/trustless-gateway/
 */
export function createGateway (options: GatewayOptions): BlockGateway {
  return new ContentGateway(options)
}

class ContentGateway implements BlockGateway {
  readonly #planner: RequestPlanner
  readonly #metadata: ContentMetadata
  /** The same over what is here, for requests that must not fetch. */
  readonly #localMetadata: ContentMetadata
  readonly #limits: GatewayLimits
  readonly #log: Logger
  readonly #isLocal: (cid: CID) => Promise<boolean>
  readonly #openReader: GatewayOptions['openReader']

  constructor ({ blocks, openReader, placeOf, log, limits, legacyXIpfsPath = false, isLocal = (cid) => blocks.has(cid) }: GatewayOptions) {
    this.#limits = { ...DEFAULT_GATEWAY_LIMITS, ...limits }
    this.#planner = new RequestPlanner({ legacyXIpfsPath }, this.#limits.metadataCacheEntries)
    this.#metadata = new ContentMetadata(blocks, this.#limits.metadataCacheEntries, placeOf)
    this.#localMetadata = new ContentMetadata(localReader(blocks, isLocal), this.#limits.metadataCacheEntries)
    this.#log = log
    this.#isLocal = isLocal
    this.#openReader = openReader
  }

  async handle (request: GatewayRequest): Promise<GatewayResponse> {
    request.signal.throwIfAborted()
    const plan = this.#planner.plan(request)
    if (plan.kind === 'respond') return plan.response
    return { ...await this.#respond(plan), format: plan.choice.format ?? 'default' }
  }

  cacheCounts (): Readonly<Record<string, CacheCounts>> {
    const [fetching, local] = [this.#metadata.counts(), this.#localMetadata.counts()]
    const sum = (a: CacheCounts, b: CacheCounts): CacheCounts => ({ hitCount: a.hitCount + b.hitCount, missCount: a.missCount + b.missCount })
    return {
      targets: { hitCount: this.#planner.counts.hitCount, missCount: this.#planner.counts.missCount },
      paths: sum(fetching.paths, local.paths),
      entries: sum(fetching.entries, local.entries),
      types: sum(fetching.types, local.types),
      indexes: sum(fetching.indexes, local.indexes)
    }
  }

  async #respond (plan: ContentPlan): Promise<GatewayResponse> {
    const { request } = plan
    try {
      if (plan.onlyIfCached) {
        if (!await this.#isLocal(plan.root)) throw notCached(plan)
        // A probe: it must cost no more than looking the root up.
        if (plan.isHead) return { status: 200, headers: plan.headers, body: undefined }
      }
      if (plan.onlyIfCached) return await primed(await this.#answer(plan, this.#localMetadata))
      if (this.#openReader === undefined) return await primed(await this.#answer(plan, this.#metadata))
      return await this.#answerWith(plan, this.#openReader(plan.root, request.signal))
    } catch (err) {
      return this.#answerFailure(plan, err)
    }
  }

  /** The reader lives as long as the body is read. */
  async #answerWith (plan: ContentPlan, reader: BlockReader & Disposable): Promise<GatewayResponse> {
    using opening = new DisposableStack()
    opening.use(reader)
    const response = await primed(await this.#answer(plan, this.#metadata.over(reader)))
    const { body } = response
    if (body === undefined || body.bytes !== undefined) return response
    const open = opening.move()
    return { ...response, body: { ...body, read: () => readAndClose(body.read(), open) } }
  }

  #answerFailure (plan: ContentPlan, err: unknown): GatewayResponse {
    const { request, headers, onlyIfCached } = plan
    request.signal.throwIfAborted()
    const failure = onlyIfCached && isErrorCode(err, 'NOT_FOUND') && err.details.reason === 'no-block' ? notCached(plan, err) : isNotFetched(err) ? notFetched(err) : err
    const status = statusOf(failure)
    if (status === 500 || status === 503) requestFailed(this.#log, { target: request.target, status, err })
    return errorResponse(request, failure, headers)
  }

  async #answer (plan: ContentPlan, metadata: ContentMetadata): Promise<GatewayResponse> {
    const { choice: { format }, root, path, request } = plan
    const { maxCarBlockCount, maxTarEntryCount } = this.#limits
    const file = knownFile(plan)
    if (file !== undefined) return answerFile(plan, metadata, file)
    if (format === 'car') return await answerCar(plan, metadata.blocks, { maxBlockCount: maxCarBlockCount })
    const resolved = await metadata.resolve(root, path.segments, request)
    if (resolved.remainder.length > 0) throw refuseRemainder(resolved)
    switch (format) {
      case 'raw': return await answerRawBlock(plan, metadata, resolved)
      case 'tar': return answerTar(plan, metadata, { resolved, entry: await metadata.entry(resolved.cid, request), maxEntryCount: maxTarEntryCount })
      case undefined: return await answerAsItIs(plan, metadata, resolved)
      default: return await answerAsCodec(plan, metadata, { resolved, format })
    }
  }
}

/** Answers with the form that content has when none is asked for. */
async function answerAsItIs (plan: ContentPlan, metadata: ContentMetadata, resolved: ResolvedPath): Promise<GatewayResponse> {
  const entry = await metadata.entry(resolved.cid, plan.request)
  switch (entry.kind) {
    case 'file': return answerFile(plan, metadata, fileFacts(plan, resolved, entry, { contentType: await contentTypeOf(plan, metadata, entry) }))
    case 'directory': return await answerDirectory(plan, metadata, resolved, entry)
    case 'symlink': return answerSymlink(plan, resolved, entry)
    case 'opaque': return await answerOpaque(plan, metadata, resolved)
    case 'ipld': return wantsPage(plan, entry.codec) ? await answerDagPage(plan, metadata, resolved) : await answerCodec(plan, metadata, resolved)
  }
}

function wantsPage ({ choice, query }: ContentPlan, codec: number): boolean {
  return choice.acceptsHtml && query.get('download') !== 'true' && (codec === CODECS.dagJson || codec === CODECS.dagCbor)
}

/**
 * Answers with the codec that was asked for: the block's own, or JSON where UnixFS holds it. Nothing is converted.
 *
 * @see IPIP-0524, https://specs.ipfs.tech/ipips/ipip-0524/
 */
async function answerAsCodec (plan: ContentPlan, metadata: ContentMetadata, { resolved, format }: { resolved: ResolvedPath, format: Format }): Promise<GatewayResponse> {
  if (formatFitsCodec(format, resolved.cid.code)) return await answerCodec(plan, metadata, resolved, format)
  const entry = await metadata.entry(resolved.cid, plan.request)
  if (format === 'json' && entry.kind === 'directory') return answerDirectoryAsJson(plan, metadata, resolved, entry)
  if (format === 'json' && entry.kind === 'file' && await holdsJson(plan, metadata, entry)) {
    return answerFile(plan, metadata, fileFacts(plan, resolved, entry, { contentType: 'application/json', etag: `${entry.cid}.json` }))
  }
  if (plan.choice.acceptsDefault) return await answerAsItIs(plan, metadata, resolved)
  throw refuseFormat(resolved, format)
}

async function holdsJson (plan: ContentPlan, metadata: ContentMetadata, file: FileEntry): Promise<boolean> {
  const byName = await contentTypeOf(plan, metadata, file)
  return /^application\/(?:.+\+)?json$/.test(byName ?? '') || await metadata.sniffedType(file, plan.request) === 'application/json'
}

async function primed (response: GatewayResponse): Promise<GatewayResponse> {
  if (response.body === undefined) return response
  const body = await primeBody(response.body)
  const lengthIsNews = body.byteLength !== undefined && response.body.byteLength === undefined
  return { ...response, headers: lengthIsNews ? [...response.headers, ['Content-Length', String(body.byteLength)]] : response.headers, body }
}

/** A reader that fetches says in `details.report` what it tried. */
function isNotFetched (err: unknown): err is HoldfastError {
  return isErrorCode(err, 'UNAVAILABLE') && 'report' in err.details
}

function notFetched (err: HoldfastError): HoldfastError {
  return refusal('UNAVAILABLE', 504, err.message, { cause: err, tip: 'Whoever has it may be offline, or may not announce it. Try again later.' })
}

async function * readAndClose (pieces: AsyncIterable<Uint8Array>, open: Disposable): AsyncIterable<Uint8Array> {
  using _ = open
  yield * pieces
}

function localReader (blocks: BlockReader, isLocal: (cid: CID) => Promise<boolean>): BlockReader {
  return {
    get: async (cid, options) => await isLocal(cid) ? await blocks.get(cid, options) : undefined,
    has: isLocal
  }
}

function notCached ({ path }: ContentPlan, cause?: unknown): HoldfastError {
  return refusal('NOT_FOUND', 412, `Not in the local store of this node: ${pathToText(path)}`, { cause, tip: 'Leave out Cache-Control: only-if-cached to let the gateway look elsewhere.' })
}
