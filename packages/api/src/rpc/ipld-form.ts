import { Block, CODECS, codecName, decodeDagPb, decodeIpld, encodeDagPb, HoldfastError, type Ipld } from '@holdfast/core'
import * as dagCbor from '@ipld/dag-cbor'
import * as dagJson from '@ipld/dag-json'
import { CID } from 'multiformats/cid'

/**
 * Returns the value that a block holds in the IPLD data model, that of a dag-pb node by its schema.
 *
 * @throws `INVALID` for a block that is not of its codec, `UNSUPPORTED` for a codec that is not read here.
 * @see https://ipld.io/specs/codecs/dag-pb/spec/ §"Logical Format"
 */
export function ipldOf (block: Block): Ipld {
  switch (block.cid.code) {
    case CODECS.raw: return block.bytes
    case CODECS.dagPb: return dagPbForm(block)
    case CODECS.dagCbor:
    case CODECS.dagJson:
    case CODECS.cbor:
    case CODECS.json: return decodeIpld(block)
    default: throw unknownCodec(block.cid.code)
  }
}

/** Writes a value as a codec does. @throws `INVALID` for a value that the codec cannot hold, `UNSUPPORTED` for a codec that is not written here. */
export function encodeIpld (value: Ipld, codec: number): Uint8Array {
  try {
    switch (codec) {
      case CODECS.raw: return bytesIn(value)
      case CODECS.dagPb: return dagPbBytes(value)
      case CODECS.dagCbor: return dagCbor.encode(value)
      case CODECS.dagJson: return dagJson.encode(value)
    }
  } catch (cause) {
    throw new HoldfastError('INVALID', `The value cannot be written as ${codecName(codec)}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause })
  }
  throw unknownCodec(codec)
}

/** Reads bytes of one codec and returns them as another writes them; bytes of the same codec stay as they are, once they were checked. */
export async function convert (bytes: Uint8Array, { from, to }: { from: number, to: number }): Promise<Uint8Array> {
  const value = ipldOf(await Block.of(bytes, { codec: from }))
  return from === to ? bytes : encodeIpld(value, to)
}

function dagPbForm (block: Block): Ipld {
  const { links, data } = decodeDagPb(block.bytes)
  return {
    ...(data === undefined ? {} : { Data: data }),
    Links: links.map(({ cid, name, tsize }) => ({ Hash: cid, Name: Buffer.from(name).toString(), ...(tsize === undefined ? {} : { Tsize: tsize }) }))
  }
}

function dagPbBytes (value: Ipld): Uint8Array {
  const { Links: links = [], Data: data, ...others } = mapIn(value)
  if (!Array.isArray(links) || Object.keys(others).length > 0 || !(data === undefined || data instanceof Uint8Array)) throw new Error('a node has Links, perhaps Data, and nothing else')
  return encodeDagPb({ data, links: links.map(linkIn).toSorted((a, b) => Buffer.compare(a.name, b.name)) })
}

function linkIn (value: Ipld): { cid: CID, name: Uint8Array, tsize: number | undefined } {
  const { Hash: hash, Name: name = '', Tsize: tsize } = mapIn(value)
  const cid = CID.asCID(hash)
  const isCount = tsize === undefined || (typeof tsize === 'number' && Number.isSafeInteger(tsize) && tsize >= 0)
  if (cid === null || typeof name !== 'string' || !isCount) throw new Error('a link has a Hash, perhaps a Name and a Tsize')
  return { cid, name: Buffer.from(name), tsize }
}

function mapIn (value: Ipld): Readonly<Record<string, Ipld | undefined>> {
  if (value === null || typeof value !== 'object' || Array.isArray(value) || value instanceof Uint8Array || CID.asCID(value) !== null) throw new Error('a map was expected')
  return value as Readonly<Record<string, Ipld>>
}

function bytesIn (value: Ipld): Uint8Array {
  if (value instanceof Uint8Array) return value
  throw new Error('raw blocks hold bytes only')
}

function unknownCodec (codec: number): HoldfastError {
  return new HoldfastError('UNSUPPORTED', `Blocks of codec ${codecName(codec)} are not read or written here`, { codec })
}
