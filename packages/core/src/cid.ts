import { base16, base16upper } from 'multiformats/bases/base16'
import { base32, base32upper } from 'multiformats/bases/base32'
import { base36, base36upper } from 'multiformats/bases/base36'
import { base58btc } from 'multiformats/bases/base58'
import { base64, base64pad, base64url, base64urlpad } from 'multiformats/bases/base64'
import { CID } from 'multiformats/cid'
import { HoldfastError } from './errors.ts'

/**
 * Longest text that can be a CID: 168 bytes (four varints of 10 and a 128-byte digest, as
 * boxo caps it) in the widest base, base16, and its prefix.
 */
export const MAX_CID_CHARACTERS: number = 2 * 168 + 1

const DECODER = base16.decoder.or(base16upper.decoder).or(base32.decoder).or(base32upper.decoder)
  .or(base36.decoder).or(base36upper.decoder).or(base58btc.decoder)
  .or(base64.decoder).or(base64pad.decoder).or(base64url.decoder).or(base64urlpad.decoder)

/**
 * Reads a CID of version 0 or 1 in any multibase that IPFS tools print.
 *
 * @throws `INVALID` naming the text and why it is not a CID.
 */
export function parseCid (text: string): CID {
  if (text.length > MAX_CID_CHARACTERS) {
    throw new HoldfastError('INVALID', `Not a CID: longer than ${MAX_CID_CHARACTERS} characters`, { text: text.slice(0, 64) })
  }
  try {
    return text.startsWith('Qm') && text.length === 46 ? CID.parse(text) : CID.parse(text, DECODER)
  } catch (cause) {
    throw new HoldfastError('INVALID', `Not a CID: ${JSON.stringify(text)}`, { cause, text })
  }
}

/**
 * The multihash as a string for `Map` and `Set`: equal for CIDs that name the same bytes.
 *
 * One character per byte (latin1), so a sha2-256 key costs 34 bytes of heap.
 */
export function multihashKey (cid: CID): string {
  const { buffer, byteOffset, byteLength } = cid.multihash.bytes
  return Buffer.from(buffer, byteOffset, byteLength).toString('latin1')
}

/** Prints a CID as version 1 in base32, the one spelling that compares as text. */
export function cidToBase32 (cid: CID): string {
  return cid.toV1().toString(base32)
}
