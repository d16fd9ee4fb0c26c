import type { Answer, ApiClient, CallOptions, EntryEvent, ProgressEvent } from '@holdfast/api/client'
import { HoldfastError, parseCid } from '@holdfast/core'
import type { KnownContent, TreeEntry } from '@holdfast/dag'

type GetAnswer = Answer<'get'>
type Onwards = Exclude<GetAnswer, { event: ProgressEvent }>

export interface GetEntriesOptions extends CallOptions {
  onProgress(progress: ProgressEvent['progress']): void
}

/**
 * Asks the daemon for a tree and turns its one stream into entries.
 *
 * Each file has `known`, so that whoever has a part of it is sent the rest alone: what is had is told to the daemon file by file.
 */
export async function * getEntries (client: ApiClient, path: string, { signal, onProgress }: GetEntriesOptions): AsyncIterable<TreeEntry> {
  const lines = new Lines()
  const answers = new Answers(client.call('get', { path, resume: true }, { signal, body: lines }), onProgress)
  try {
    for (let answer = await answers.next(); answer !== undefined; answer = await answers.next()) {
      if (answer.type !== 'event' || !('entry' in answer.event)) throw otherVersion()
      const { entry } = answer.event
      if (entry.kind !== 'file') {
        yield toTreeEntry(entry)
        continue
      }
      const download = new FileDownload(answers, lines)
      yield { kind: 'file', ...attributesOf(entry), byteLength: entry.byteLength ?? 0, content: download.content(), known: download }
      await download.finish()
    }
  } finally {
    lines.close()
    await answers.return()
  }
}

/** The content of one file, while the stream is at it. */
class FileDownload implements KnownContent {
  readonly #answers: Answers
  readonly #lines: Lines
  #isAsked = false

  constructor (answers: Answers, lines: Lines) {
    this.#answers = answers
    this.#lines = lines
  }

  async * leaves (byteLength: number): ReturnType<KnownContent['leaves']> {
    if (byteLength === 0) return
    this.#lines.say(byteLength)
    for (;;) {
      const answer = await this.#answers.next()
      if (answer?.type !== 'event') throw otherVersion()
      const { event } = answer
      if ('checked' in event) return
      if ('leaf' in event) yield { ...event.leaf, cid: parseCid(event.leaf.cid) }
      else if ('node' in event) yield { start: event.node.start, bytes: await this.#bytes(event.node.byteLength) }
      else throw otherVersion()
    }
  }

  async * from (offset: number): AsyncIterable<Uint8Array> {
    this.#isAsked = true
    this.#lines.say(offset)
    for (let bytes = await this.#answers.nextBytes(); bytes !== undefined; bytes = await this.#answers.nextBytes()) yield bytes
  }

  content (): AsyncIterable<Uint8Array> {
    return this.from(0)
  }

  /** Passes over content that nobody read. */
  async finish (): Promise<void> {
    if (this.#isAsked) return
    for await (const _ of this.content());
  }

  async #bytes (byteLength: number): Promise<Uint8Array> {
    const pieces: Uint8Array[] = []
    for (let left = byteLength; left > 0;) {
      const bytes = await this.#answers.nextBytes()
      if (bytes === undefined || bytes.byteLength > left) throw otherVersion()
      left -= bytes.byteLength
      pieces.push(bytes)
    }
    return Buffer.concat(pieces)
  }
}

/** The answers in order, without those that only tell of progress. */
class Answers {
  readonly #source: AsyncIterator<GetAnswer>
  readonly #onProgress: GetEntriesOptions['onProgress']
  #ahead: Onwards | undefined

  constructor (source: AsyncIterable<GetAnswer>, onProgress: GetEntriesOptions['onProgress']) {
    this.#source = source[Symbol.asyncIterator]()
    this.#onProgress = onProgress
  }

  async next (): Promise<Onwards | undefined> {
    const ahead = this.#ahead
    this.#ahead = undefined
    if (ahead !== undefined) return ahead
    for (;;) {
      const { done, value } = await this.#source.next()
      if (done === true) return undefined
      if (value.type === 'bytes') return value
      const { event } = value
      if (!('progress' in event)) return { type: 'event', event }
      this.#onProgress(event.progress)
    }
  }

  /** The next piece, or `undefined` when something else comes first. */
  async nextBytes (): Promise<Uint8Array | undefined> {
    const answer = await this.next()
    if (answer?.type === 'bytes') return answer.bytes
    this.#ahead = answer
    return undefined
  }

  async return (): Promise<void> {
    await this.#source.return?.()
  }
}

/** What the caller says while it is answered: a number a line. */
class Lines implements AsyncIterable<Uint8Array> {
  readonly #waiting: Uint8Array[] = []
  #isClosed = false
  #wake: (() => void) | undefined

  say (number: number): void {
    this.#waiting.push(Buffer.from(`${number}\n`))
    this.#wake?.()
  }

  close (): void {
    this.#isClosed = true
    this.#wake?.()
  }

  async * [Symbol.asyncIterator] (): AsyncIterator<Uint8Array> {
    while (!this.#isClosed) {
      const line = this.#waiting.shift()
      if (line !== undefined) yield line
      else await new Promise<void>((resolve) => { this.#wake = resolve })
    }
  }
}

function toTreeEntry (entry: EntryEvent): TreeEntry {
  switch (entry.kind) {
    case 'directory': return { kind: 'directory', ...attributesOf(entry) }
    case 'symlink': return { kind: 'symlink', ...attributesOf(entry), target: entry.target ?? '' }
    default: throw otherVersion()
  }
}

function attributesOf ({ path, mode, mtimeSeconds }: EntryEvent): Pick<TreeEntry, 'path' | 'mode' | 'mtime'> {
  return { path: path === '' ? [] : path.split('/'), mode, mtime: mtimeSeconds === undefined ? undefined : timeOf(mtimeSeconds) }
}

function timeOf (seconds: number): { seconds: bigint, nanoseconds: number } {
  const whole = Math.floor(seconds)
  return { seconds: BigInt(whole), nanoseconds: Math.round((seconds - whole) * 1e9) }
}

function otherVersion (): HoldfastError {
  return new HoldfastError('INVALID', 'The daemon sent something else than entries and their content; is it of another version?')
}
