/**
 * Answers with a directory: its index.html, a page that lists it, or the same list as JSON.
 */
import { type DagEntry, type DirectoryEntry, listDirectory } from '@holdfast/dag'
import { CID } from 'multiformats/cid'
import { hash } from 'node:crypto'
import { answerFile, cacheHeaders, fileFacts } from './answer-content.ts'
import { answerPreconditions } from './byte-answer.ts'
import type { ContentMetadata, ResolvedPath } from './content-metadata.ts'
import { pathToText } from './content-path.ts'
import { type DirectoryView, listingFoot, listingHead, listingRow, pathGatewayView } from './directory-page.ts'
import type { Body, GatewayResponse, Header } from './exchange.ts'
import { GENERATED, NOSNIFF, PAGE_POLICY, rootsHeader } from './headers.ts'
import { refusal } from './http-status.ts'
import { LISTING_PAGE_ENTRIES, MAX_LISTING_PAGE } from './limits.ts'
import { type ContentPlan, redirect } from './plan.ts'
import { coalesce } from './primed-body.ts'

/** Bytes of HTML or JSON that are sent at once. */
const COALESCED_BYTES: number = 16 * 1024

type Directory = DagEntry & { readonly kind: 'directory' }

/** Answers for a person or a web page: redirects to the slash, then index.html or a listing. */
export async function answerDirectory (plan: ContentPlan, metadata: ContentMetadata, resolved: ResolvedPath, directory: Directory): Promise<GatewayResponse> {
  const { path, query, rawQuery, headers, request } = plan
  // Relative links of a page work only below a slash; `go get` asks without one and wants no redirect (kubo#3963).
  if (!path.trailingSlash && query.get('go-get') !== '1') {
    return redirect(301, { ...path, trailingSlash: true }, rawQuery, [...headers, ...cacheHeaders(resolved)]).response
  }
  const index = await metadata.indexPage(directory.cid, request)
  if (index !== undefined) {
    return answerFile(plan, metadata, fileFacts(plan, resolved, index, { etag: directory.cid.toString(), contentType: 'text/html', fallbackName: 'index.html' }))
  }
  return answerListing(plan, metadata, resolved, directory, {
    kind: `DirIndex-${templateHash()}`,
    contentHeaders: [['Content-Type', 'text/html; charset=utf-8'], PAGE_POLICY, NOSNIFF],
    print: printPage
  })
}

/** Answers a program: the entries as JSON, also where there is an index.html. */
export function answerDirectoryAsJson (plan: ContentPlan, metadata: ContentMetadata, resolved: ResolvedPath, directory: Directory): GatewayResponse {
  return answerListing(plan, metadata, resolved, directory, {
    kind: 'DirJson-1',
    contentHeaders: [['Content-Type', 'application/json'], NOSNIFF],
    print: printJson
  })
}

interface ListingForm {
  /** Goes into the entity tag: changes whenever the same directory is printed otherwise. */
  readonly kind: string
  readonly contentHeaders: readonly Header[]
  readonly print: (entries: AsyncIterable<DirectoryEntry>, plan: ContentPlan, page: PageFacts) => AsyncIterable<string>
}

interface PageFacts {
  readonly cid: string
  readonly number: number
}

function answerListing (plan: ContentPlan, metadata: ContentMetadata, resolved: ResolvedPath, { cid }: Directory, form: ListingForm): GatewayResponse {
  const number = pageNumber(plan.query)
  const etag = `"${form.kind}${number === 1 ? '' : `.${number}`}_CID-${cid}"`
  const cacheHeaders = [GENERATED, ...rootsHeader(resolved.cids)]
  const notSent = answerPreconditions(plan, { etag }, cacheHeaders)
  if (notSent !== undefined) return notSent
  const entries = listDirectory(metadata.blocks, cid, { signal: plan.request.signal })
  const body: Body = { read: () => coalesce(encode(form.print(entries, plan, { cid: cid.toString(), number })), COALESCED_BYTES) }
  return { status: 200, headers: [...plan.headers, ...cacheHeaders, ...form.contentHeaders, ['Etag', etag]], body: plan.isHead ? undefined : body }
}

function pageNumber (query: URLSearchParams): number {
  const text = query.get('page') ?? '1'
  const number = /^\d{1,6}$/.test(text) ? Number(text) : 0
  if (number < 1 || number > MAX_LISTING_PAGE) throw refusal('INVALID', 400, `Page ${JSON.stringify(text)} of a listing does not exist`, { tip: `Pages are numbered from 1; each has ${LISTING_PAGE_ENTRIES} entries.` })
  return number
}

async function * encode (texts: AsyncIterable<string>): AsyncIterable<Uint8Array> {
  for await (const text of texts) yield Buffer.from(text)
}

async function * printPage (entries: AsyncIterable<DirectoryEntry>, { path }: ContentPlan, { cid, number }: PageFacts): AsyncIterable<string> {
  const view = pathGatewayView(path, cid)
  let hasNext = false
  yield listingHead(view)
  for await (const entry of pageOf(entries, number)) {
    if (entry === 'more') hasNext = true
    else yield listingRow(view, entry)
  }
  yield listingFoot({ number, hasNext })
}

async function * printJson (entries: AsyncIterable<DirectoryEntry>, { path }: ContentPlan, { cid, number }: PageFacts): AsyncIterable<string> {
  let hasNext = false
  let separator = ''
  yield `{"path":${JSON.stringify(pathToText(path))},"cid":${JSON.stringify(cid)},"page":${number},"entries":[`
  for await (const entry of pageOf(entries, number)) {
    if (entry === 'more') {
      hasNext = true
    } else {
      yield `${separator}\n${JSON.stringify({ name: entry.name, cid: entry.cid.toString(), tsize: entry.tsize })}`
      separator = ','
    }
  }
  yield `\n],"nextPage":${hasNext ? number + 1 : null}}\n`
}

/** Yields the entries of one page, then `'more'` when there are further ones. */
async function * pageOf (entries: AsyncIterable<DirectoryEntry>, number: number): AsyncIterable<DirectoryEntry | 'more'> {
  const first = (number - 1) * LISTING_PAGE_ENTRIES
  let index = 0
  for await (const entry of entries) {
    if (index === first + LISTING_PAGE_ENTRIES) {
      yield 'more'
      return
    }
    if (index++ >= first) yield entry
  }
}

/** A hash of the page's template, taken over a sample of everything it prints. */
function templateHash (): string {
  if (template === undefined) {
    const cid = CID.parse('bafkqaaa')
    const view: DirectoryView = pathGatewayView({ namespace: 'ipfs', root: 'r', segments: ['s'], trailingSlash: true }, 'c')
    const sample = listingHead(view) + listingRow(view, { name: 'n', nameBytes: new Uint8Array(), cid, tsize: 1 }) + listingFoot({ number: 2, hasNext: true })
    template = hash('sha256', sample, 'hex').slice(0, 12)
  }
  return template
}

let template: string | undefined
