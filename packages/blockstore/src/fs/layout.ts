/**
 * Where the block of a multihash lies.
 *
 * ```
 * flatfs          X3/CIQFTFEEHEDF6KLBT32BFAGLXEZL4UWFNWM4LFTLMXQBCERZ6CMLX3Y.data    "next-to-last/2": folder = the two characters before the last
 * blockstore-fs   3Y/BCIQFTFEEHEDF6KLBT32BFAGLXEZL4UWFNWM4LFTLMXQBCERZ6CMLX3Y.data   folder = the last two; the B is the multibase prefix
 * ```
 *
 * Both name the file by the multihash in upper case base32 without padding, so it survives file systems
 * that ignore case. They differ although blockstore-fs calls its strategy `NextToLast`.
 *
 * @see go-ds-flatfs `shard.go`; blockstore-fs 4 `src/sharding.ts`
 */
import { CODECS, IDENTITY, requireVerifiable } from '@holdfast/core'
import { base32upper } from 'multiformats/bases/base32'
import { CID } from 'multiformats/cid'
import { decode as decodeDigest } from 'multiformats/hashes/digest'

export type LayoutName = 'flatfs' | 'blockstore-fs'

/** A block's file, below the folder of the store. */
export interface BlockPlace {
  readonly shard: string
  readonly file: string
}

/** One way to name the files of blocks. */
export interface Layout {
  readonly name: LayoutName
  placeOf(cid: CID): BlockPlace
  /** The CID of a file, as CIDv1 raw; `undefined` for a file that no block of this layout has. */
  cidOf(place: BlockPlace): CID | undefined
}

/** The file in which go-ds-flatfs says how a folder is laid out. */
export const SHARDING_FILE = 'SHARDING'

/** What it says for the layout of Kubo's default configuration. */
export const FLATFS_SHARDING = '/repo/flatfs/shard/v1/next-to-last/2\n'

export const LAYOUTS: Readonly<Record<LayoutName, Layout>> = {
  flatfs: layoutOf('flatfs', (base32) => ({ shard: base32.slice(-3, -1), name: base32 })),
  'blockstore-fs': layoutOf('blockstore-fs', (base32) => ({ shard: base32.slice(-2), name: base32upper.prefix + base32 }))
}

/** Reports whether a folder of this name may hold blocks, in either layout. */
export function isShard (name: string): boolean {
  return /^[A-Z2-7]{2}$/.test(name)
}

const EXTENSION = '.data'

function layoutOf (layoutName: LayoutName, nameOf: (base32: string) => { shard: string, name: string }): Layout {
  const placeOf = (multihash: Uint8Array): BlockPlace => {
    const { shard, name } = nameOf(base32upper.baseEncode(multihash))
    return { shard, file: name + EXTENSION }
  }
  return {
    name: layoutName,
    placeOf: ({ multihash }) => placeOf(multihash.bytes),

    cidOf ({ shard, file }) {
      const prefix = layoutName === 'blockstore-fs' ? base32upper.prefix : ''
      if (!file.endsWith(EXTENSION) || !file.startsWith(prefix)) return undefined
      const cid = cidOfBase32(file.slice(prefix.length, -EXTENSION.length))
      if (cid === undefined) return undefined
      // A second spelling of the same multihash, or the wrong folder, is a file that `get` would never open.
      const place = placeOf(cid.multihash.bytes)
      return place.shard === shard && place.file === file ? cid : undefined
    }
  }
}

function cidOfBase32 (base32: string): CID | undefined {
  try {
    const cid = CID.createV1(CODECS.raw, decodeDigest(base32upper.baseDecode(base32)))
    requireVerifiable(cid)
    return cid.multihash.code === IDENTITY ? undefined : cid
  } catch {
    return undefined // Files of other tools lie in shared folders; whatever does not parse is theirs.
  }
}
