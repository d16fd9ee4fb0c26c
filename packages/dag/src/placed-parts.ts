import type { BlockReader } from '@holdfast/blockstore'
import { type BlockPlace, type PlacedBlock, PlacedContent } from '@holdfast/blockstore/places'
import { type AbortOptions, CODECS, SHA2_256 } from '@holdfast/core'
import type { CID } from 'multiformats/cid'
import { type FileBytes, type FileLeaf, fileLeaves, framedByteLength, leafFrame } from './file-leaves.ts'
import type { ByteSpan } from './file-window.ts'

/** Shortest content that is read by its places, in bytes: below, opening files costs more than it saves. */
export const MIN_PLACED_BYTES: number = 4 * 1024 * 1024

/** Tells where the bytes of a block lie; `undefined` for those that lie in no file, or that should be read through the store. */
export type PlaceOf = (cid: CID) => BlockPlace | undefined

/** Where a part of a file lies, or bytes of it that a node holds. */
export type PlacedPart = FileBytes | { readonly start: number, readonly block: PlacedBlock }

export interface PlacedPartsOptions extends AbortOptions {
  readonly span: ByteSpan
  readonly placeOf: PlaceOf
}

/**
 * Tells where the content of one span of a file lies, in order, and ends at the first part that lies in no file or whose
 * hash is not SHA-256.
 *
 * @throws as `readFile`, for the nodes that it reads.
 */
export async function * placedParts (blocks: BlockReader, cid: CID, { span, placeOf, signal }: PlacedPartsOptions): AsyncIterable<PlacedPart> {
  // Only a node that is here and shorter than what is below it is opened: the rest is for a reader that reads ahead.
  const isLeaf = (leaf: FileLeaf): boolean => leaf.cid.code === CODECS.raw || leaf.byteLength <= (placeOf(leaf.cid)?.byteLength ?? Infinity)
  for await (const part of fileLeaves(blocks, cid, { span, isLeaf, signal })) {
    if ('bytes' in part) {
      yield part
      continue
    }
    const block = placedLeaf(part, placeOf, span)
    if (block === undefined) return
    yield { start: part.start, block }
  }
}

/**
 * Reads content by its places as far as they are known and right; each piece is valid until the next is asked for.
 *
 * Whatever is wrong ends it, without a word: whoever goes on through the store finds out.
 *
 * @throws `signal.reason` alone.
 */
export async function * readPlaced (blocks: BlockReader, cid: CID, options: PlacedPartsOptions): AsyncIterable<Uint8Array> {
  await using content = new PlacedContent()
  const parts = placedParts(blocks, cid, options)[Symbol.asyncIterator]()
  try {
    const between: FileBytes[] = []
    /** Runs of placed blocks, which end where a node holds bytes itself. */
    async function * run (): AsyncIterable<PlacedBlock> {
      for (let next = await parts.next(); next.done !== true; next = await parts.next()) {
        if ('block' in next.value) {
          yield next.value.block
        } else {
          between.push(next.value)
          return
        }
      }
    }
    for (;;) {
      yield * content.read(run(), options)
      const node = between.pop()
      if (node === undefined) return
      yield node.bytes
    }
  } catch {
    options.signal?.throwIfAborted()
  } finally {
    await parts.return?.()
  }
}

const SHA256_BYTES = 32

function placedLeaf (leaf: FileLeaf, placeOf: PlaceOf, span: ByteSpan): PlacedBlock | undefined {
  const { code, digest } = leaf.cid.multihash
  const place = code === SHA2_256 && digest.byteLength === SHA256_BYTES ? placeOf(leaf.cid) : undefined
  const frame = leafFrame(leaf)
  if (place === undefined || frame === undefined || framedByteLength(leaf, frame) !== place.byteLength) return undefined
  const [from, to] = [Math.max(0, span.start - leaf.start), Math.min(leaf.byteLength, span.end - leaf.start)]
  return { ...place, sha256: base64(digest), head: base64(frame.head), tail: base64(frame.tail), from, to }
}

function base64 (bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64')
}
