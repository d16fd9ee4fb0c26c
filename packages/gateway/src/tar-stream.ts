import type { BlockReader } from '@holdfast/blockstore'
import type { AbortOptions } from '@holdfast/core'
import { readFile } from '@holdfast/dag'
import { createTarPacker, type TarHeader, type TarPackController } from 'modern-tar'
import type { TarEntry, UnixFsEntry } from './tar-entries.ts'

/** Bytes that are packed ahead of the reader; `modern-tar` itself would take 8 MiB. */
const PACKED_AHEAD_BYTES: number = 256 * 1024

/**
 * Packs entries into a TAR. The same tree always gives the same bytes: what UnixFS does not say is fixed.
 *
 * Pulls: entries and their content are read as the archive is, at most `PACKED_AHEAD_BYTES` and one
 * block ahead. A failure ends the stream in the middle, never as if it were complete.
 */
export async function * tarStream (blocks: BlockReader, entries: AsyncIterable<TarEntry>, { signal }: AbortOptions): AsyncIterable<Uint8Array> {
  const { readable, controller } = createTarPacker()
  const gate = new Gate()
  const packing = pack(blocks, entries, { controller, gate, signal })
  // Reported through `readable`, which may no longer be read.
  packing.catch(() => {})
  try {
    for await (const piece of readable) {
      yield piece
      gate.taken(piece.byteLength)
    }
    await packing
  } finally {
    gate.close()
  }
}

interface PackOptions extends AbortOptions {
  readonly controller: TarPackController
  readonly gate: Gate
}

async function pack (blocks: BlockReader, entries: AsyncIterable<TarEntry>, { controller, gate, signal }: PackOptions): Promise<void> {
  try {
    for await (const { path, entry } of entries) {
      const writer = controller.add(headerOf(path, entry)).getWriter()
      await gate.put(HEADER_BYTES)
      if (entry.kind === 'file') {
        for await (const piece of readFile(blocks, entry.cid, { signal })) {
          await writer.write(piece)
          await gate.put(piece.byteLength)
        }
      }
      await writer.close()
    }
    controller.finalize()
  } catch (err) {
    controller.error(err)
    throw err
  }
}

/** Bytes of a header without extensions: enough to keep a tree of empty files from being packed at once. */
const HEADER_BYTES = 512

function headerOf (path: string, entry: UnixFsEntry): TarHeader {
  const { mode, mtime } = entry
  const seconds = Number(mtime?.seconds ?? 0n)
  return {
    name: path,
    type: entry.kind,
    size: entry.kind === 'file' ? entry.byteLength : 0,
    // A date that TAR cannot write, or none at all, is 1970: the time of packing would change the bytes.
    mtime: new Date(seconds >= 0 && seconds <= MAX_TAR_SECONDS ? seconds * 1000 : 0),
    ...(mode === undefined ? {} : { mode }),
    ...(entry.kind === 'symlink' ? { linkname: entry.target } : {})
  }
}

/** Eleven octal digits. */
const MAX_TAR_SECONDS = 0o77777777777

/** Holds a producer back while its consumer has not taken what was produced. */
class Gate {
  #waitingBytes = 0
  #isClosed = false
  #opened: PromiseWithResolvers<void> | undefined

  /** Resolves when there is room for more. @throws when the consumer has gone. */
  async put (byteLength: number): Promise<void> {
    this.#waitingBytes += byteLength
    if (this.#waitingBytes > PACKED_AHEAD_BYTES && !this.#isClosed) {
      this.#opened = Promise.withResolvers()
      await this.#opened.promise
    }
    if (this.#isClosed) throw new Error('The archive is no longer read')
  }

  taken (byteLength: number): void {
    this.#waitingBytes -= byteLength
    if (this.#waitingBytes <= PACKED_AHEAD_BYTES) this.#opened?.resolve()
  }

  close (): void {
    this.#isClosed = true
    this.#opened?.resolve()
  }
}
