/**
 * Answers with content as it is: files, raw blocks, symlinks, and the codecs that are served as their bytes.
 */
import type { BlockReader } from '@holdfast/blockstore'
import { type AbortOptions, type Block, CODECS, codecName } from '@holdfast/core'
import { type DagEntry, readFile, requireBlock } from '@holdfast/dag'
import type { CID } from 'multiformats/cid'
import { answerBytes, readFrom, type Representation } from './byte-answer.ts'
import type { ByteRange } from './byte-ranges.ts'
import type { ContentMetadata, ResolvedPath } from './content-metadata.ts'
import { contentTypeOfName } from './content-type.ts'
import type { GatewayResponse, Header } from './exchange.ts'
import { type Format, mediaTypeOf } from './format.ts'
import { dispositionHeader, IMMUTABLE, NOSNIFF, rootsHeader } from './headers.ts'
import { refusal } from './http-status.ts'
import type { ContentPlan, ContentTarget } from './plan.ts'

export type FileEntry = DagEntry & { readonly kind: 'file' }

/** All that an answer with a file says before its bytes. */
export interface FileFacts {
  readonly file: FileEntry
  readonly facts: Omit<Representation, 'read'>
}

/** What is special about a file in one place. */
export interface FileIdentity {
  /** `undefined` when it could not be told this time. */
  readonly contentType: string | undefined
  /** Opaque part of the entity tag. @default the CID of the file */
  readonly etag?: string
  /** Name for saving it when the query has none. @default the last part of the path, or the CID */
  readonly fallbackName?: string
}

/** What is known of the files that targets lead to; it goes when the planner forgets the target. */
const FILES = new WeakMap<ContentTarget, FileFacts>()

/** Returns the facts of the file that the target of a request leads to, when it was answered before. */
export function knownFile ({ target }: ContentPlan): FileFacts | undefined {
  return FILES.get(target)
}

/** Gathers what an answer with a file says, and remembers it for the next request with this target. */
export function fileFacts (plan: ContentPlan, resolved: ResolvedPath, file: FileEntry, identity: FileIdentity): FileFacts {
  const { contentType, etag = file.cid.toString(), fallbackName = plan.path.segments.at(-1) ?? file.cid.toString() } = identity
  const facts: FileFacts = {
    file,
    facts: {
      byteLength: file.byteLength,
      etag: `"${etag}"`,
      modifiedMs: file.mtime === undefined ? undefined : toMs(file.mtime),
      contentType: contentType ?? 'application/octet-stream',
      cacheHeaders: cacheHeaders(resolved),
      contentHeaders: dispositionHeader(plan.query, { fallbackName })
    }
  }
  if (contentType !== undefined) FILES.set(plan.target, facts)
  return facts
}

/** Answers with the bytes of a file. */
export function answerFile (plan: ContentPlan, { blocks, placeOf }: Pick<ContentMetadata, 'blocks' | 'placeOf'>, { file, facts }: FileFacts): GatewayResponse {
  const { signal } = plan.request
  return answerBytes(plan, {
    ...facts,
    isBorrowed: placeOf !== undefined,
    // A raw block is its own content: no window has to be set up for it.
    read: (range) => file.cid.code === CODECS.raw
      ? readBlock(blocks, file.cid, range, { signal })
      : readFile(blocks, file.cid, { ...range, placeOf, signal })
  })
}

async function * readBlock (blocks: BlockReader, cid: CID, { offset, byteLength }: ByteRange, options: AbortOptions): AsyncIterable<Uint8Array> {
  const { bytes } = await requireBlock(blocks, cid, options)
  yield bytes.subarray(offset, offset + byteLength)
}

/** Returns a date that HTTP can print, or `undefined` for one that no calendar has. */
function toMs ({ seconds, nanoseconds }: NonNullable<FileEntry['mtime']>): number | undefined {
  const ms = Number(seconds) * 1000 + Math.floor(nanoseconds / 1e6)
  return Number.isNaN(new Date(ms).getTime()) || ms < MIN_HTTP_DATE_MS || ms > MAX_HTTP_DATE_MS ? undefined : ms
}

/** HTTP dates have years of four digits. */
const MIN_HTTP_DATE_MS = Date.UTC(1000, 0, 1)
const MAX_HTTP_DATE_MS = Date.UTC(9999, 11, 31)

/** Tells the media type of a file: by `?filename=`, by the last part of the path, else by its first bytes if they can be read. */
export async function contentTypeOf (plan: ContentPlan, metadata: ContentMetadata, file: FileEntry): Promise<string | undefined> {
  const name = plan.query.get('filename') || plan.path.segments.at(-1) || ''
  return contentTypeOfName(name) ?? await metadata.sniffedType(file, { signal: plan.request.signal })
}

/** Answers with the target of a symlink: it is content, and where it points to is not ours to judge. */
export function answerSymlink (plan: ContentPlan, resolved: ResolvedPath, { cid, target }: DagEntry & { kind: 'symlink' }): GatewayResponse {
  const bytes = Buffer.from(target)
  return answerBytes(plan, {
    byteLength: bytes.byteLength,
    etag: `"${cid}"`,
    contentType: 'inode/symlink',
    cacheHeaders: cacheHeaders(resolved),
    contentHeaders: dispositionHeader(plan.query, { fallbackName: plan.path.segments.at(-1) ?? cid.toString() }),
    read: readFrom(bytes)
  })
}

/** Answers with one block as it is stored, whatever its codec. */
export async function answerRawBlock (plan: ContentPlan, metadata: ContentMetadata, resolved: ResolvedPath): Promise<GatewayResponse> {
  const block = await requireBlock(metadata.blocks, resolved.cid, plan.request)
  return answerBlock(plan, resolved, block, { suffix: '.raw', contentType: mediaTypeOf('raw'), type: 'attachment', extension: 'bin' })
}

interface BlockForm {
  /** What is added to the CID in the entity tag. */
  readonly suffix: string
  readonly contentType: string
  readonly type: 'inline' | 'attachment'
  readonly extension: string
}

function answerBlock (plan: ContentPlan, resolved: ResolvedPath, { cid, bytes }: Block, { suffix, contentType, type, extension }: BlockForm): GatewayResponse {
  const representation: Representation = {
    byteLength: bytes.byteLength,
    etag: `"${cid}${suffix}"`,
    contentType,
    cacheHeaders: cacheHeaders(resolved),
    contentHeaders: [NOSNIFF, ...dispositionHeader(plan.query, { type, fallbackName: `${cid}.${extension}` })],
    read: readFrom(bytes)
  }
  return answerBytes(plan, representation)
}

/** Formats that name a codec, and the codecs each of them may be asked for (the aliases of TestNativeDag). */
const CODECS_BY_FORMAT: Partial<Record<Format, readonly number[]>> = {
  'dag-json': [CODECS.dagJson],
  'dag-cbor': [CODECS.dagCbor],
  json: [CODECS.json, CODECS.dagJson],
  cbor: [CODECS.cbor, CODECS.dagCbor]
}

/** Reports whether a format is the codec of a block, so that its bytes may go out under that name. */
export function formatFitsCodec (format: Format, codec: number): boolean {
  return CODECS_BY_FORMAT[format]?.includes(codec) === true
}

/** Answers with a block of dag-json, dag-cbor, json or cbor as it is, under the name of `format` or of its codec. */
export async function answerCodec (plan: ContentPlan, metadata: ContentMetadata, resolved: ResolvedPath, format?: Format): Promise<GatewayResponse> {
  const block = await requireBlock(metadata.blocks, resolved.cid, plan.request)
  const name = format ?? formatOfCodec(block.cid.code)
  const extension = name.endsWith('json') ? 'json' : 'cbor'
  return answerBlock(plan, resolved, block, { suffix: `.${name}`, contentType: mediaTypeOf(name), type: extension === 'json' ? 'inline' : 'attachment', extension })
}

function formatOfCodec (codec: number): Format {
  switch (codec) {
    case CODECS.dagJson: return 'dag-json'
    case CODECS.json: return 'json'
    case CODECS.dagCbor: return 'dag-cbor'
    default: return 'cbor'
  }
}

/** Answers with a block that only its own program can read. */
export async function answerOpaque (plan: ContentPlan, metadata: ContentMetadata, resolved: ResolvedPath): Promise<GatewayResponse> {
  const block = await requireBlock(metadata.blocks, resolved.cid, plan.request)
  return answerBlock(plan, resolved, block, { suffix: '', contentType: 'application/octet-stream', type: 'attachment', extension: 'bin' })
}

/** Refuses a format that the content does not have: the gateway never converts between codecs (IPIP-0524). */
export function refuseFormat ({ cid }: ResolvedPath, format: Format, what = `is ${codecName(cid.code)}`): Error {
  return refusal('UNSUPPORTED', 406, `Cannot serve ${cid} as ${format}: it ${what}`, { tip: 'Codecs are not converted. Ask for ?format=raw and convert the block yourself, or leave the format out.' })
}

/** Refuses a path that ends at a value inside of a block. */
export function refuseRemainder ({ cid, remainder }: ResolvedPath): Error {
  return refusal('UNSUPPORTED', 501, `Cannot serve ${JSON.stringify(remainder.join('/'))} of ${cid}: only whole blocks are served, not values inside of them`, { tip: `Ask for /ipfs/${cid} and read the value from it.` })
}

/** Caching headers of content that cannot change. */
export function cacheHeaders ({ cids }: ResolvedPath): Header[] {
  return [IMMUTABLE, ...rootsHeader(cids)]
}
