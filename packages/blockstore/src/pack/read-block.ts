import { type AbortOptions, Block, HoldfastError, isErrorCode } from '@holdfast/core'
import type { CID } from 'multiformats/cid'
import type { Location } from './location.ts'
import type { OpenPacks } from './open-packs.ts'
import { readSectionHeader, type SectionHeader } from './pack-format.ts'
import { isBlock } from './scan-pack.ts'

export interface ReadBlockParts extends AbortOptions {
  /** The place of a block by its multihash, as of now. */
  readonly table: { find: (multihash: Uint8Array) => Location | undefined }
  readonly packs: OpenPacks
  /** Whether the hash is left out. */
  readonly isTrusting: boolean
}

/** Times that a block is looked up again because its pack was compacted away meanwhile. */
const MAX_MOVES = 8

/**
 * Reads a block where the table says that it is; `undefined` when it is nowhere, or quarantined.
 *
 * @throws `CORRUPT` for other bytes than those of the CID. `details.isIndexWrong` says that another block lies there,
 * or one of another length: then it is the table that cannot be believed. `UNAVAILABLE` when the medium failed.
 */
export async function readBlock ({ table, packs, isTrusting, signal }: ReadBlockParts, cid: CID): Promise<Block | undefined> {
  for (let move = 0; move < MAX_MOVES; move++) {
    const place = table.find(cid.multihash.bytes)
    if (place === undefined || place.isQuarantined) return undefined
    const bytes = packs.readNow(place) ?? await packs.read(place, signal)
    if (bytes === undefined) continue
    if (isTrusting && bytes.byteLength === place.byteLength) return Block.trusted(cid, bytes)
    try {
      return await Block.verify(cid, bytes)
    } catch (err) {
      throw isErrorCode(err, 'CORRUPT') ? await explainCorruption(packs, cid, place, err) : err
    }
  }
  throw new HoldfastError('CORRUPT', `Block ${cid} lies in a pack that is not there; rebuild the index`, { cid: cid.toString(), isIndexWrong: true })
}

async function explainCorruption (packs: OpenPacks, cid: CID, { pack, offset, headerByteLength, byteLength }: Location, cause: HoldfastError): Promise<HoldfastError> {
  const bytes = await packs.read({ pack, offset: Math.max(offset - headerByteLength, 0), byteLength: headerByteLength }).catch(() => undefined)
  const header = bytes === undefined ? undefined : readSectionHeader(bytes, 0)
  const isOther = header !== undefined && (Buffer.compare(header.cid.multihash.bytes, cid.multihash.bytes) !== 0 || header.byteLength !== byteLength)
  const isIndexWrong = isOther && await isSoundAt(packs, header, { pack, offset })
  return new HoldfastError('CORRUPT', `Bytes do not match ${cid}: they are damaged in pack ${pack} at byte ${offset}`, { ...cause.details, cause, pack, byteOffset: offset, isIndexWrong })
}

/** Whether the block that a header names stands there: else it may as well be the header that is damaged, and not the entry of the index. */
export async function isSoundAt (packs: OpenPacks, { cid, byteLength }: SectionHeader, { pack, offset }: Pick<Location, 'pack' | 'offset'>): Promise<boolean> {
  const bytes = await packs.read({ pack, offset, byteLength }).catch(() => undefined)
  return bytes !== undefined && await isBlock(cid, bytes)
}
