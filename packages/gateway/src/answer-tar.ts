import type { DagEntry } from '@holdfast/dag'
import { refuseFormat } from './answer-content.ts'
import { answerPreconditions } from './byte-answer.ts'
import type { ContentMetadata, ResolvedPath } from './content-metadata.ts'
import type { GatewayResponse } from './exchange.ts'
import { mediaTypeOf } from './format.ts'
import { dispositionHeader, IMMUTABLE, NOSNIFF, rootsHeader } from './headers.ts'
import type { ContentPlan } from './plan.ts'
import { coalesce } from './primed-body.ts'
import { isUnixFs, tarEntries } from './tar-entries.ts'
import { tarStream } from './tar-stream.ts'

/** Headers of many small files are joined up to this many bytes. */
const COALESCED_BYTES: number = 32 * 1024

/** Answers with a file or tree as a TAR whose top entry is named by its CID. */
export function answerTar (plan: ContentPlan, metadata: ContentMetadata, { resolved, entry, maxEntryCount }: { resolved: ResolvedPath, entry: DagEntry, maxEntryCount: number }): GatewayResponse {
  if (!isUnixFs(entry)) throw refuseFormat(resolved, 'tar', 'is not UnixFS')
  const { signal } = plan.request
  const etag = `W/"${entry.cid}.x-tar"`
  const cacheHeaders = [IMMUTABLE, ...rootsHeader(resolved.cids)]
  const notSent = answerPreconditions(plan, { etag }, cacheHeaders)
  if (notSent !== undefined) return notSent
  const read = (): AsyncIterable<Uint8Array> => {
    const entries = tarEntries(metadata.blocks, entry, { maxEntryCount, signal })
    return coalesce(tarStream(metadata.blocks, entries, { signal }), COALESCED_BYTES)
  }
  return {
    status: 200,
    headers: [
      ...plan.headers,
      ...cacheHeaders,
      ['Content-Type', mediaTypeOf('tar')],
      ...dispositionHeader(plan.query, { type: 'attachment', fallbackName: `${entry.cid}.tar` }),
      ['Etag', etag],
      NOSNIFF
    ],
    body: plan.isHead ? undefined : { read }
  }
}
