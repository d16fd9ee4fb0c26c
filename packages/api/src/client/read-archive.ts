import { PlacedContent } from '@holdfast/blockstore/places'
import type { AbortOptions } from '@holdfast/core'
import { HoldfastError } from '@holdfast/core/errors'
import { hash } from 'node:crypto'
import type { ArgsOf, PlacedSection } from '../operations.ts'
import type { ApiClient } from './api-client.ts'
import type { ContentAnswer } from './read-content.ts'

/**
 * Reads a DAG as an archive through the daemon, which tells where long blocks lie on this machine: those are read and checked here, and do not
 * travel through the socket. One that is no longer where it was is asked for.
 *
 * A piece is valid until the next is asked for.
 *
 * @throws as `ApiClient.call`; `CORRUPT` for a block that the daemon gives in another form than it told.
 */
export async function * readArchive (client: ApiClient, args: Omit<ArgsOf<'dag-export'>, 'places'>, { signal }: AbortOptions = {}): AsyncIterable<ContentAnswer> {
  await using placed = new PlacedContent()
  for await (const answer of client.call('dag-export', { ...args, places: true }, { signal })) {
    if (answer.type === 'bytes') yield answer
    else if ('progress' in answer.event) yield { type: 'event', event: answer.event }
    else for await (const bytes of readSections(client, placed, answer.event.sections, { signal })) yield { type: 'bytes', bytes }
  }
}

async function * readSections (client: ApiClient, placed: PlacedContent, sections: readonly PlacedSection[], options: AbortOptions): AsyncIterable<Uint8Array> {
  for (let count = 0; count < sections.length;) {
    const pieces = placed.read(sections.slice(count), options)[Symbol.asyncIterator]()
    try {
      for (let section = sections[count]; section !== undefined; section = sections[++count]) {
        const next = await pieces.next().catch(() => undefined)
        options.signal?.throwIfAborted()
        const bytes = next === undefined || next.done === true ? undefined : next.value
        yield Buffer.from(section.section, 'base64')
        yield bytes ?? await askFor(client, section, options)
        if (bytes !== undefined) continue
        count++
        break
      }
    } finally {
      await pieces.return?.()
    }
  }
}

/** A raw block is content that is read like any other. */
async function askFor (client: ApiClient, { cid, sha256 }: PlacedSection, { signal }: AbortOptions): Promise<Uint8Array> {
  const pieces: Uint8Array[] = []
  for await (const answer of client.call('cat', { path: cid }, { signal })) if (answer.type === 'bytes') pieces.push(Uint8Array.from(answer.bytes))
  const bytes = Buffer.concat(pieces)
  if (hash('sha256', bytes, 'base64') !== sha256) throw new HoldfastError('CORRUPT', `Block ${cid} came in another form than the daemon said`, { cid })
  return bytes
}
