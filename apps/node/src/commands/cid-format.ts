import { CODECS, codecName, hasherOf, HoldfastError } from '@holdfast/core'
import { base16, base16upper } from 'multiformats/bases/base16'
import { base32, base32upper } from 'multiformats/bases/base32'
import { base36, base36upper } from 'multiformats/bases/base36'
import { base58btc } from 'multiformats/bases/base58'
import { base64, base64pad, base64url, base64urlpad } from 'multiformats/bases/base64'
import { CID } from 'multiformats/cid'

/** A way to write bytes as text, with the letter that says which. */
interface Multibase {
  readonly name: string
  readonly prefix: string
  encode(bytes: Uint8Array): string
}

const BASES: readonly Multibase[] = [base16, base16upper, base32, base32upper, base36, base36upper, base58btc, base64, base64pad, base64url, base64urlpad]

/** What a CID is turned into before it is written. */
export interface CidConversion {
  /** Name or letter of a multibase. @default that of the text */
  readonly base?: string | undefined
  readonly version?: number | undefined
  /** Name of a codec. */
  readonly codec?: string | undefined
}

/** A CID and the base that it is written in. */
export interface WrittenCid {
  readonly cid: CID
  readonly base: Multibase
}

/** Returns the base that the text of a CID is in. */
export function baseOfText (text: string): Multibase {
  const isVersion0 = text.startsWith('Qm') && text.length === 46
  return isVersion0 ? base58btc : baseNamed(text.slice(0, 1))
}

/** Returns the base with this name or letter. @throws `INVALID` with the names that would work. */
export function baseNamed (text: string): Multibase {
  const base = BASES.find(({ name, prefix }) => name === text || prefix === text)
  if (base === undefined) throw new HoldfastError('INVALID', `Base ${JSON.stringify(text.slice(0, 32))} is not known; use one of ${BASES.map(({ name }) => name).join(', ')}`)
  return base
}

/**
 * Turns a CID into one of another version, codec or base; its multihash stays. Another base than base58btc implies version 1.
 *
 * @throws `INVALID` for what version 0 cannot be, and for names that are not known.
 */
export function convertCid (cid: CID, text: string, { base: baseText, version, codec: codecText }: CidConversion): WrittenCid {
  const base = baseText === undefined ? undefined : baseNamed(baseText)
  const codec = codecText === undefined ? cid.code : codecNamed(codecText)
  const implied = (base !== undefined && base !== base58btc) || codec !== CODECS.dagPb ? 1 : cid.version
  const wanted = version ?? implied
  if (wanted !== 0 && wanted !== 1) throw new HoldfastError('INVALID', `CID version ${wanted} does not exist; use 0 or 1`)
  if (wanted === 1) return { cid: CID.createV1(codec, cid.multihash), base: base ?? (cid.version === 0 ? (version === 1 ? base32 : base58btc) : baseOfText(text)) }
  if (codec !== CODECS.dagPb || cid.multihash.code !== 0x12 || (base !== undefined && base !== base58btc)) {
    throw new HoldfastError('INVALID', `${cid} cannot be of version 0, which is dag-pb, sha2-256 and base58btc only`)
  }
  return { cid: CID.createV0(cid.multihash as Parameters<typeof CID.createV0>[0]), base: base58btc }
}

/**
 * Writes a CID by a format of `ipfs cid format`: `%s` the CID, `%b` `%B` the base, `%v` `%V` the version, `%c` `%C` the codec, `%h` `%H` the hash,
 * `%L` the length of its digest, `%m` `%M` the multihash, `%d` `%D` the digest, `%S` the CID without the letter of the base, `%P` its prefix, `%%` a `%`.
 *
 * @throws `INVALID` for another letter behind a `%`.
 */
export function formatCid ({ cid, base }: WrittenCid, format: string): string {
  const { multihash } = cid
  // The letter of the base stands before everything that is encoded, except for a CID of version 0.
  const encoded = (bytes: Uint8Array): string => base.encode(bytes)
  const bare = (bytes: Uint8Array): string => encoded(bytes).slice(1)
  const values: Readonly<Record<string, () => string>> = {
    '%': () => '%',
    b: () => base.name,
    B: () => base.prefix,
    v: () => `cidv${cid.version}`,
    V: () => String(cid.version),
    c: () => codecName(cid.code),
    C: () => String(cid.code),
    h: () => hasherName(cid),
    H: () => String(multihash.code),
    L: () => String(multihash.digest.byteLength),
    m: () => encoded(multihash.bytes),
    M: () => bare(multihash.bytes),
    d: () => encoded(multihash.digest),
    D: () => bare(multihash.digest),
    s: () => cid.version === 0 ? bare(cid.bytes) : encoded(cid.bytes),
    S: () => bare(cid.bytes),
    P: () => `cidv${cid.version}-${codecName(cid.code)}-${hasherName(cid)}-${multihash.digest.byteLength}`
  }
  return format.replaceAll(/%(.?)/gsu, (_, letter: string) => {
    const value = Object.hasOwn(values, letter) ? values[letter] : undefined
    if (value === undefined) throw new HoldfastError('INVALID', `%${letter} means nothing in a format; use one of ${Object.keys(values).map((known) => `%${known}`).join(' ')}`)
    return value()
  })
}

/** Returns the name of the hash, or `0x…` for one that this node cannot compute. */
export function hasherName ({ multihash: { code } }: CID): string {
  try {
    return hasherOf(code).name
  } catch {
    return `0x${code.toString(16)}`
  }
}

function codecNamed (text: string): number {
  const code = Object.values(CODECS).find((known) => codecName(known) === text)
  if (code === undefined) throw new HoldfastError('INVALID', `Codec ${JSON.stringify(text.slice(0, 64))} is not known; use one of ${Object.values(CODECS).map(codecName).join(', ')}`)
  return code
}
