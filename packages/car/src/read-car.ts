import { type AbortOptions, Block, HoldfastError, isHoldfastError, MAX_BLOCK_BYTES } from '@holdfast/core'
import { CID } from 'multiformats/cid'
import { ByteSource, type ByteSourceOptions } from './byte-source.ts'
import { takeCarHeader } from './car-header.ts'
import { takeVarint } from './varint.ts'

/** Longest section that is read, in bytes: a block and its CID, whose digest has at most 128. */
export const MAX_CAR_SECTION_BYTES: number = MAX_BLOCK_BYTES + 256

/** Longest CID that is read, in bytes: four varints, and the longest digest that is accepted. A longer one is cut, and so refused. */
const MAX_CID_BYTES = 168

export interface ReadCarOptions extends AbortOptions {
  /**
   * Memory for sections. With it blocks lie there and nowhere else, until whoever has them gives it back, and the source may reuse its buffers.
   *
   * @default blocks are views of what the source yields, where they can be
   */
  memory?: ByteSourceOptions['memory']
}

export interface CarReader {
  readonly version: 1 | 2
  readonly roots: readonly CID[]
  /**
   * The blocks in the order of the file, repeats included, each proven against its CID. Can be walked once;
   * ending the walk closes the source.
   *
   * @throws `INVALID` for a section that is malformed or cut short, `CORRUPT` for bytes that are not those of
   * their CID, `LIMIT` for a block above `MAX_BLOCK_BYTES`, `UNSUPPORTED` for a hash that cannot be checked.
   * Each carries `details.byteOffset`, where the section begins, and `details.blockCount`, how many blocks came before.
   */
  readonly blocks: AsyncIterable<Block>
}

/**
 * Reads the header of a CAR, version 1 or 2, and hands out the rest as a stream.
 *
 * Holds one section, at most `MAX_CAR_SECTION_BYTES`, and what the source yielded last; blocks may be views
 * of that, so the source must not reuse its buffers unless `memory` is given. The index of a CARv2 is not read.
 *
 * @throws `INVALID` for what is not a CAR, `LIMIT` above `MAX_CAR_HEADER_BYTES` or `MAX_CAR_ROOTS`,
 * `UNSUPPORTED` for another version; with `details.byteOffset`.
 */
export async function readCar (source: AsyncIterable<Uint8Array>, options: ReadCarOptions = {}): Promise<CarReader> {
  const bytes = new ByteSource(source, options)
  try {
    const { version, roots } = await takeCarHeader(bytes)
    return { version, roots, blocks: takeBlocks(bytes) }
  } catch (err) {
    await bytes.close()
    throw err
  }
}

async function * takeBlocks (source: ByteSource): AsyncGenerator<Block> {
  try {
    for (let blockCount = 0; ; blockCount++) {
      const byteOffset = source.position
      const block = await located(takeBlock(source, byteOffset), byteOffset, blockCount)
      if (block === undefined) return
      yield block
    }
  } finally {
    await source.close()
  }
}

/** `varint length | CID | bytes`, or `undefined` when there is no more. */
async function takeBlock (source: ByteSource, byteOffset: number): Promise<Block | undefined> {
  const byteLength = await takeVarint(source, byteOffset)
  if (byteLength === undefined) {
    if (source.isBeforeEnd) throw cutShort(byteOffset)
    return undefined
  }
  if (byteLength > MAX_CAR_SECTION_BYTES) {
    throw new HoldfastError('LIMIT', `Section at byte ${byteOffset} of the CAR has ${byteLength} bytes, more than a block may have (2 MiB)`, { byteLength })
  }
  const section = await source.take(byteLength)
  if (section === undefined) throw cutShort(byteOffset)
  const [cid, bytes] = splitSection(section, byteOffset)
  return await Block.verify(cid, bytes)
}

function splitSection (section: Uint8Array, byteOffset: number): [CID, Uint8Array] {
  try {
    // A CID lives longer than its block, whose memory it would keep.
    const [cid] = CID.decodeFirst(section.slice(0, MAX_CID_BYTES))
    return [cid, section.subarray(cid.byteLength)]
  } catch (cause) {
    throw new HoldfastError('INVALID', `Section at byte ${byteOffset} of the CAR does not begin with a CID`, { cause })
  }
}

function cutShort (byteOffset: number): HoldfastError {
  return new HoldfastError('INVALID', `CAR is cut short: it ends inside the section at byte ${byteOffset}`)
}

/** Adds to a failure where it happened. */
async function located<T> (taking: Promise<T>, byteOffset: number, blockCount: number): Promise<T> {
  try {
    return await taking
  } catch (cause) {
    if (!isHoldfastError(cause)) throw cause
    throw new HoldfastError(cause.code, cause.message, { ...cause.details, cause, byteOffset, blockCount })
  }
}
