import { Block, CODECS } from '@holdfast/core'
import { requireBlock } from '@holdfast/dag'
import { hash } from 'node:crypto'
import { cacheHeaders } from './answer-content.ts'
import { answerPreconditions } from './byte-answer.ts'
import type { ContentMetadata, ResolvedPath } from './content-metadata.ts'
import { dagPage } from './dag-page.ts'
import { bytesBody, type GatewayResponse } from './exchange.ts'
import { GENERATED, NOSNIFF, PAGE_POLICY, rootsHeader } from './headers.ts'
import { type ContentPlan, redirect } from './plan.ts'

/** Answers with a page that shows a dag-json or dag-cbor block. */
export async function answerDagPage (plan: ContentPlan, metadata: ContentMetadata, resolved: ResolvedPath): Promise<GatewayResponse> {
  const { path, rawQuery, headers, request } = plan
  if (!path.trailingSlash) return redirect(301, { ...path, trailingSlash: true }, rawQuery, [...headers, ...cacheHeaders(resolved)]).response
  const etag = `"DagIndex-${await templateHash()}_CID-${resolved.cid}"`
  const pageCacheHeaders = [GENERATED, ...rootsHeader(resolved.cids)]
  const notSent = answerPreconditions(plan, { etag }, pageCacheHeaders)
  if (notSent !== undefined) return notSent
  const block = await requireBlock(metadata.blocks, resolved.cid, request)
  return {
    status: 200,
    headers: [...headers, ...pageCacheHeaders, ['Content-Type', 'text/html; charset=utf-8'], ['Etag', etag], PAGE_POLICY, NOSNIFF],
    body: plan.isHead ? undefined : bytesBody(Buffer.from(dagPage(block)))
  }
}

/** A hash of the page's template, taken over a sample of what it prints. */
async function templateHash (): Promise<string> {
  template ??= hash('sha256', dagPage(await Block.of(Buffer.from('{"a":[1,"b",null]}'), { codec: CODECS.dagJson })), 'hex').slice(0, 12)
  return template
}

let template: string | undefined
