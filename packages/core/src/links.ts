import * as dagCbor from '@ipld/dag-cbor'
import * as dagJson from '@ipld/dag-json'
import { CID } from 'multiformats/cid'
import type { Block } from './block.ts'
import { CODECS } from './codecs.ts'
import { decodeDagPb } from './dag-pb.ts'
import { HoldfastError } from './errors.ts'

/** Deepest nesting of a dag-cbor or dag-json block; deeper ones would exhaust a recursive decoder. */
export const MAX_NESTING_DEPTH = 128

/** Most values in one dag-cbor or dag-json block: 2 MiB of empty maps cost 140 MB when decoded. */
export const MAX_ITEM_COUNT = 262_144

/**
 * Returns the CIDs that the block links to, in the order of its bytes, repeats included.
 *
 * A block whose codec this node does not read is opaque: it has no links.
 *
 * @throws `INVALID` when the bytes are not of the codec that the CID names, `LIMIT` for too many links or too deep nesting.
 */
export function linksOf (block: Block): CID[] {
  switch (block.cid.code) {
    case CODECS.dagPb: return decodeDagPb(block.bytes).links.map(({ cid }) => cid)
    case CODECS.dagCbor:
      decodeIpld(block)
      return cborLinks(block.bytes)
    case CODECS.dagJson:
      decodeIpld(block)
      return jsonLinks(block.bytes)
    default: return []
  }
}

/** A value of the IPLD data model. */
export type Ipld = null | boolean | number | bigint | string | Uint8Array | CID | Ipld[] | { [key: string]: Ipld }

/**
 * Decodes a dag-cbor or dag-json block within limits.
 *
 * @throws `INVALID` for bytes that are not of that codec, `LIMIT` for too many values or too deep nesting,
 * `UNSUPPORTED` for any other codec.
 */
export function decodeIpld ({ cid, bytes }: Block): Ipld {
  try {
    switch (cid.code) {
      case CODECS.dagCbor:
        scanCbor(bytes)
        return dagCbor.decode(bytes)
      case CODECS.dagJson:
        scanJson(bytes)
        return dagJson.decode(bytes)
    }
  } catch (cause) {
    if (cause instanceof HoldfastError) throw cause
    throw new HoldfastError('INVALID', `Block ${cid} is not valid for its codec`, { cause, cid: cid.toString() })
  }
  throw new HoldfastError('UNSUPPORTED', `Codec 0x${cid.code.toString(16)} of ${cid} is not traversed`, { cid: cid.toString() })
}

/** What a decoder may be made to hold. */
export interface IpldLimits {
  /** Values, nested ones included. @default MAX_ITEM_COUNT */
  maxItemCount?: number
  /** @default MAX_NESTING_DEPTH */
  maxNestingDepth?: number
}

/**
 * Decodes dag-cbor that is no block: messages and records, whose length the caller has bounded.
 *
 * @throws `INVALID` for bytes that are not dag-cbor, `LIMIT` for too many values or too deep nesting.
 */
export function decodeDagCbor (bytes: Uint8Array, limits: IpldLimits = {}): Ipld {
  scanCbor(bytes, limits)
  try {
    return dagCbor.decode(bytes)
  } catch (cause) {
    throw new HoldfastError('INVALID', 'Bytes are not dag-cbor', { cause })
  }
}

/**
 * Finds the links of valid DAG-CBOR by their tag, in the order of the bytes.
 *
 * Not from the decoded value: a JavaScript object lists keys that look like numbers first.
 */
function cborLinks (bytes: Uint8Array): CID[] {
  const links: CID[] = []
  for (let at = 0; at < bytes.byteLength;) {
    const { major, argument, end } = cborHead(bytes, at)
    at = end
    if (major === 6) {
      const content = cborHead(bytes, end)
      at = content.end + content.argument
      links.push(CID.decode(bytes.subarray(content.end + 1, at))) // After the byte 0 that stands for "binary".
    } else if (major === 2 || major === 3) {
      at += argument
    }
  }
  return links
}

/**
 * Finds the `{"/":"bafy…"}` of valid DAG-JSON, in the order of the bytes: maps of one string under the key `/`.
 */
function jsonLinks (bytes: Uint8Array): CID[] {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const links: CID[] = []
  let tokenCount = 0 // Of `{ key : value }`, as far as the last tokens fit it.
  let key = ''
  let value = ''
  for (let at = 0; at < bytes.byteLength; at++) {
    const byte = bytes[at] ?? 0
    if (byte <= 0x20) continue
    if (byte === 0x22) {
      const end = jsonStringEnd(bytes, at)
      if (tokenCount === 1) key = text.toString('utf8', at, end)
      else if (tokenCount === 3) value = text.toString('utf8', at, end)
      tokenCount = tokenCount === 1 || tokenCount === 3 ? tokenCount + 1 : 0
      at = end - 1
    } else {
      if (byte === 0x7d && tokenCount === 4 && JSON.parse(key) === '/') links.push(CID.parse(JSON.parse(value)))
      tokenCount = byte === 0x7b ? 1 : byte === 0x3a && tokenCount === 2 ? 3 : 0
    }
  }
  return links
}

/** Where the string that begins at `at` ends, after its closing quote. */
function jsonStringEnd (bytes: Uint8Array, at: number): number {
  for (at++; at < bytes.byteLength; at++) {
    if (bytes[at] === 0x5c) at++ // A backslash hides the next byte.
    else if (bytes[at] === 0x22) return at + 1
  }
  return at
}

/** Walks CBOR heads (RFC 8949 §3) without building values, to bound depth and count. */
function scanCbor (bytes: Uint8Array, { maxItemCount = MAX_ITEM_COUNT, maxNestingDepth = MAX_NESTING_DEPTH }: IpldLimits = {}): void {
  const remaining: number[] = [1]
  let at = 0
  let itemCount = 0
  while (remaining.length > 0) {
    const top = remaining.length - 1
    if (remaining[top] === 0) {
      remaining.pop()
      continue
    }
    remaining[top] = (remaining[top] ?? 0) - 1
    if (++itemCount > maxItemCount) throw tooMuch(maxItemCount)
    const { major, argument, end } = cborHead(bytes, at)
    at = end
    if (major === 2 || major === 3) at += argument
    else if (major === 4) remaining.push(argument)
    else if (major === 5) remaining.push(argument * 2)
    else if (major === 6) remaining.push(1)
    if (at > bytes.byteLength) return // Cut short: the decoder says so in its own words.
    if (remaining.length > maxNestingDepth + 1) throw tooDeep(maxNestingDepth)
  }
}

function cborHead (bytes: Uint8Array, at: number): { major: number, argument: number, end: number } {
  const initial = bytes[at] ?? 0
  const major = initial >> 5
  const info = initial & 0x1f
  if (info < 24) return { major, argument: info, end: at + 1 }
  const width = info < 28 ? 2 ** (info - 24) : 0
  let argument = 0
  for (let index = 1; index <= width; index++) argument = argument * 256 + (bytes[at + index] ?? 0)
  return { major, argument, end: at + 1 + width }
}

function scanJson (bytes: Uint8Array): void {
  let depth = 0
  let itemCount = 0
  for (let at = 0; at < bytes.byteLength; at++) {
    const byte = bytes[at]
    if (byte === 0x22) {
      at = jsonStringEnd(bytes, at) - 1
    } else if (byte === 0x5b || byte === 0x7b) {
      if (++depth > MAX_NESTING_DEPTH) throw tooDeep()
      itemCount++
    } else if (byte === 0x5d || byte === 0x7d) {
      depth--
    } else if (byte === 0x2c) {
      itemCount++
    }
    if (itemCount > MAX_ITEM_COUNT) throw tooMuch()
  }
}

function tooDeep (levels: number = MAX_NESTING_DEPTH): HoldfastError {
  return new HoldfastError('LIMIT', `Block is nested deeper than ${levels} levels`)
}

function tooMuch (count: number = MAX_ITEM_COUNT): HoldfastError {
  return new HoldfastError('LIMIT', `Block holds more than ${count} values`)
}
