import type { AbortOptions } from '@holdfast/core'
import type { ProgressEvent } from '../operations.ts'
import type { ApiClient } from './api-client.ts'
import { PlacedContent } from './placed-content.ts'

/** Content as it comes, and how far the daemon is with it. */
export type ContentAnswer =
  | { readonly type: 'bytes', readonly bytes: Uint8Array }
  | { readonly type: 'event', readonly event: ProgressEvent }

export interface ContentRange {
  readonly path: string
  readonly offset?: number | undefined
  readonly length?: number | undefined
}

/**
 * Reads content through the daemon, which tells where it lies on this machine as far as it can: blocks are then read and checked here,
 * and do not travel through the socket.
 *
 * Where a block is no longer found where it was, the daemon is asked for the rest as bytes. A piece is valid until the
 * next is asked for.
 *
 * @throws as `ApiClient.call`.
 */
export async function * readContent (client: ApiClient, { path, offset = 0, length }: ContentRange, { signal }: AbortOptions = {}): AsyncIterable<ContentAnswer> {
  await using placed = new PlacedContent()
  let byteLength = 0
  let isElsewhere = false
  for await (const answer of client.call('cat', { path, offset, length, places: true }, { signal })) {
    if (answer.type === 'bytes') {
      byteLength += answer.bytes.byteLength
      yield answer
    } else if ('progress' in answer.event) {
      yield { type: 'event', event: answer.event }
    } else {
      const pieces = placed.read(answer.event.places, { signal })[Symbol.asyncIterator]()
      try {
        for (;;) {
          const next = await pieces.next().catch((err: unknown) => {
            signal?.throwIfAborted()
            isElsewhere = true
            return { done: true, value: err } as const
          })
          if (next.done === true) break
          byteLength += next.value.byteLength
          yield { type: 'bytes', bytes: next.value }
        }
      } finally {
        await pieces.return?.()
      }
      if (isElsewhere) break
    }
  }
  if (!isElsewhere) return
  for await (const answer of client.call('cat', { path, offset: offset + byteLength, ...length !== undefined && { length: length - byteLength } }, { signal })) {
    if (answer.type === 'bytes') yield answer
    else if ('progress' in answer.event) yield { type: 'event', event: answer.event }
  }
}
