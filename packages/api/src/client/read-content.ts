import { PlacedContent } from '@holdfast/blockstore/places'
import type { AbortOptions } from '@holdfast/core'
import type { ProgressEvent } from '../operations.ts'
import type { ApiClient } from './api-client.ts'

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
      for await (const bytes of whileThere(placed.read(answer.event.places, { signal }), () => { isElsewhere = true }, { signal })) {
        byteLength += bytes.byteLength
        yield { type: 'bytes', bytes }
      }
      if (isElsewhere) break
      yield { type: 'event', event: { progress: { byteLength, totalByteLength: answer.event.totalByteLength } } }
    }
  }
  if (!isElsewhere) return
  for await (const answer of client.call('cat', { path, offset: offset + byteLength, ...length !== undefined && { length: length - byteLength } }, { signal })) {
    if (answer.type === 'bytes') yield answer
    else if ('progress' in answer.event) yield { type: 'event', event: answer.event }
  }
}

/** Yields what a `PlacedContent` reads until a block is not where it should be, and says when that is so. */
export async function * whileThere (pieces: AsyncIterable<Uint8Array>, onElsewhere: () => void, { signal }: AbortOptions): AsyncIterable<Uint8Array> {
  const iterator = pieces[Symbol.asyncIterator]()
  try {
    for (;;) {
      const next = await iterator.next().catch(() => undefined)
      if (next === undefined) {
        signal?.throwIfAborted()
        return onElsewhere()
      }
      if (next.done === true) return
      yield next.value
    }
  } finally {
    await iterator.return?.()
  }
}
