import type { BlockReader } from '@holdfast/blockstore'
import { type AbortOptions, type Block, CODECS, HoldfastError, MAX_BLOCK_BYTES } from '@holdfast/core'
import type { CID } from 'multiformats/cid'
import { requireBlock } from './entry.ts'
import { fileByteLengthOf, unixFsNodeOf } from './unixfs-node.ts'

/** Deepest nesting of a file, its root being level 1: 32 levels of two links each address more than a file can hold. */
export const MAX_FILE_LEVELS = 32

/** Blocks that a read asks for at first; each time the reader has to wait for one, it asks for twice as many. */
export const FIRST_BLOCKS_AHEAD = 2

/** Most blocks that a read asks for or holds at once: 4 MiB of the 256 KiB leaves that most of the network has. */
export const MAX_BLOCKS_AHEAD = 16

/** Links in memory above which nothing is opened ahead: one inner node of 2 MiB. */
const MAX_LINKS_AHEAD = 65_536

/** Most links in memory, about 64 MB: four inner nodes of 2 MiB on the way down to a leaf. */
export const MAX_LINKS_HELD = 262_144

/** Where bytes of the file begin and end; `end` is exclusive. */
export interface ByteSpan {
  readonly start: number
  readonly end: number
}

/** A part of a file as its parent tells of it, or, with `content`, the bytes of a leaf. */
export interface FilePart {
  readonly cid: CID
  readonly level: number
  /** Where its bytes lie in the file, by the lengths that its parent declared. */
  readonly start: number
  readonly byteLength: number
  readonly content?: Uint8Array | undefined
}

/** A part of the file on its way from a link to bytes. */
interface Part extends FilePart {
  /** Settles, without ever rejecting, when `block` or `failure` is there. */
  reading?: Promise<void> | undefined
  block?: Block | undefined
  failure?: { readonly reason: unknown } | undefined
}

/**
 * Turns the root of a file into the bytes of one span, in order, reading ahead.
 *
 * The parts that are not yet taken lie in one list in the order of the file. The first few of them are asked
 * for at once, whether they turn out to be leaves or inner nodes; an inner node is replaced by its
 * parts, so looking ahead does not stop where a subtree ends. Reads start only while `next` runs.
 */
export class FileWindow implements Disposable {
  readonly #blocks: BlockReader
  readonly #span: ByteSpan
  readonly #windowBytes: number
  readonly #ended = new AbortController()
  readonly #signal: AbortSignal
  /** What is still to come, the next part last. */
  #parts: Part[]
  #blocksAhead = FIRST_BLOCKS_AHEAD
  #waiting = false

  constructor (blocks: BlockReader, root: { block: Block, byteLength: number }, options: { span: ByteSpan, windowBytes: number } & AbortOptions) {
    this.#blocks = blocks
    this.#span = options.span
    this.#windowBytes = options.windowBytes
    this.#signal = options.signal === undefined ? this.#ended.signal : AbortSignal.any([options.signal, this.#ended.signal])
    this.#parts = [{ cid: root.block.cid, level: 1, start: 0, byteLength: root.byteLength, block: root.block }]
  }

  /**
   * Returns the next piece, or `undefined` at the end of the span.
   *
   * @throws `NOT_FOUND`, `CORRUPT`, `INVALID` or `LIMIT` for the part whose turn it is, never for one ahead of it.
   */
  async next (): Promise<Uint8Array | undefined> {
    for (;;) {
      this.#signal.throwIfAborted()
      this.#readAhead()
      const part = this.#parts.at(-1)
      if (part === undefined) return undefined
      if (part.failure !== undefined) throw part.failure.reason
      if (part.content !== undefined) {
        this.#parts.pop()
        return part.content.subarray(Math.max(0, this.#span.start - part.start), this.#span.end - part.start)
      }
      this.#blocksAhead = Math.min(this.#blocksAhead * 2, MAX_BLOCKS_AHEAD)
      this.#waiting = true
      await part.reading
      this.#waiting = false
    }
  }

  /** Aborts the reads under way. */
  [Symbol.dispose] (): void {
    this.#ended.abort()
  }

  /** Opens what has arrived and asks for what fits into the window, from the next part on. */
  #readAhead (): void {
    let heldBytes = 0
    let heldCount = 0
    const windowEnd = Math.max(this.#parts.at(-1)?.start ?? 0, this.#span.start) + this.#windowBytes
    for (let index = this.#parts.length - 1; index >= 0 && heldCount < this.#blocksAhead; index--) {
      const part = this.#parts[index]
      const isNext = index === this.#parts.length - 1
      if (part === undefined || part.failure !== undefined) return
      if (!isNext && (part.start >= windowEnd || heldBytes + heldBytesOf(part) > this.#windowBytes)) return
      if (part.block !== undefined) {
        if (!isNext && this.#parts.length > MAX_LINKS_AHEAD) return
        index += this.#open(index, part, part.block)
        continue
      }
      if (part.content === undefined) part.reading ??= this.#read(part)
      heldBytes += heldBytesOf(part)
      heldCount++
    }
  }

  async #read (part: Part): Promise<void> {
    try {
      part.block = await requireBlock(this.#blocks, part.cid, { signal: this.#signal })
    } catch (reason) {
      part.failure = { reason }
    }
    if (this.#waiting && !this.#signal.aborted) this.#readAhead()
  }

  /** Puts the parts of a block in the place of the part it was; returns how many they are. */
  #open (index: number, part: Part, block: Block): number {
    try {
      const parts = partsOf(part, block, this.#span)
      if (this.#parts.length + parts.length > MAX_LINKS_HELD) {
        throw new HoldfastError('LIMIT', `Reading the file at ${block.cid} takes more than ${MAX_LINKS_HELD} links at once`, { cid: block.cid.toString() })
      }
      const [only] = parts
      if (parts.length === 1 && only !== undefined) this.#parts[index] = only
      else this.#parts = this.#parts.slice(0, index).concat(parts, this.#parts.slice(index + 1))
      return parts.length
    } catch (reason) {
      part.failure = { reason }
      part.block = undefined
      return 1
    }
  }
}

/** What a part costs in memory; one that is not here yet is counted by what its parent declares. */
function heldBytesOf ({ byteLength, block, content }: Part): number {
  return content?.byteLength ?? block?.bytes.byteLength ?? Math.min(byteLength, MAX_BLOCK_BYTES)
}

/**
 * Opens a block into the parts that overlap the span, last first: bytes of its own, then its links.
 *
 * @throws `INVALID` for a block that is no part of a file, `CORRUPT` when it holds another length than its parent declares,
 * `LIMIT` above `MAX_FILE_LEVELS`.
 */
export function partsOf ({ level, start, byteLength }: FilePart, block: Block, span: ByteSpan): FilePart[] {
  const { cid } = block
  if (cid.code === CODECS.raw) {
    requireDeclaredLength(cid, byteLength, block.bytes.byteLength)
    return [{ cid, level, start, byteLength, content: block.bytes }]
  }
  const node = unixFsNodeOf(block)
  if (node?.unixfs.type !== 'file' && node?.unixfs.type !== 'raw') {
    throw new HoldfastError('INVALID', `Block ${cid} is linked as a part of a file, which it is not`, { cid: cid.toString() })
  }
  requireDeclaredLength(cid, byteLength, fileByteLengthOf(node))
  if (level > MAX_FILE_LEVELS) throw new HoldfastError('LIMIT', `File is nested deeper than ${MAX_FILE_LEVELS} levels at ${cid}`, { cid: cid.toString() })

  const { data = new Uint8Array(), blockByteLengths = [] } = node.unixfs
  const parts: FilePart[] = [{ cid, level, start, byteLength: data.byteLength, content: compact(data, block) }]
  let at = start + data.byteLength
  for (const [index, link] of node.links.entries()) {
    const length = blockByteLengths[index] ?? 0
    parts.push({ cid: link.cid, level: level + 1, start: at, byteLength: length })
    at += length
  }
  return parts.filter((part) => part.byteLength > 0 && part.start < span.end && part.start + part.byteLength > span.start).reverse()
}

function requireDeclaredLength (cid: CID, declared: number, found: number): void {
  if (declared === found) return
  throw new HoldfastError('CORRUPT', `Block ${cid} holds ${found} bytes of a file whose parent declares ${declared}`, { cid: cid.toString(), declared, found })
}

/** Lets go of a block of which only little is content, so that the window counts what is really held. */
function compact (data: Uint8Array, block: Block): Uint8Array {
  return data.byteLength * 2 < block.bytes.byteLength ? data.slice() : data
}
