import { varintLength, writeVarint } from '@holdfast/core'
import type { CID } from 'multiformats/cid'
import type { BitswapMessage, BlockPayload, BlockPresence, WantEntry } from './message.ts'
import { type BitswapProtocol, supportsHave, supportsPayload } from './protocols.ts'

/** What goes into a message; whatever is absent is empty. */
export type OutgoingMessage = Partial<Pick<BitswapMessage, 'wants' | 'isFull' | 'blocks' | 'presences'>>

/**
 * Writes a message for a peer of the given protocol, with its length in front, as a list of views.
 *
 * Blocks are not copied: the list holds the very bytes that were given. What the protocol cannot say is left out.
 */
export function encodeMessage ({ wants = [], isFull = false, blocks = [], presences = [] }: OutgoingMessage, protocol: BitswapProtocol): Uint8Array[] {
  const parts: Uint8Array[] = []
  if (wants.length > 0 || isFull) parts.push(encodeWantlist(wants, isFull, protocol))
  for (const block of blocks) parts.push(...supportsPayload(protocol) ? encodePayload(block) : [lengthHeader(BLOCKS, block.data.byteLength), block.data])
  if (supportsHave(protocol)) parts.push(...presences.map(encodePresence))

  const byteLength = parts.reduce((sum, part) => sum + part.byteLength, 0)
  return joinSmall([encodeVarint(byteLength), ...parts])
}

/** Bytes that a want adds to a message, at most. */
export function wantByteLength (cid: CID): number {
  return cid.bytes.byteLength + 24
}

const WANTLIST = 0x0a
const BLOCKS = 0x12
const PAYLOAD = 0x1a
const PRESENCES = 0x22

/** Views shorter than this are copied together: a write of its own costs more than the copy. */
const SMALL_BYTES = 1024

function encodeWantlist (wants: readonly WantEntry[], isFull: boolean, protocol: BitswapProtocol): Uint8Array {
  const entries = wants.map((want) => encodeEntry(want, protocol))
  const list = Buffer.concat([...entries.flatMap((entry) => [lengthHeader(0x0a, entry.byteLength), entry]), ...isFull ? [Uint8Array.of(0x10, 1)] : []])
  return Buffer.concat([lengthHeader(WANTLIST, list.byteLength), list])
}

function encodeEntry ({ cid, priority, isCancel, type, sendDontHave }: WantEntry, protocol: BitswapProtocol): Uint8Array {
  const fields = [lengthHeader(0x0a, cid.bytes.byteLength), cid.bytes]
  if (priority > 0) fields.push(Uint8Array.of(0x10), encodeVarint(priority))
  if (isCancel) fields.push(Uint8Array.of(0x18, 1))
  if (supportsHave(protocol)) {
    if (type === 'have') fields.push(Uint8Array.of(0x20, 1))
    if (sendDontHave) fields.push(Uint8Array.of(0x28, 1))
  }
  return Buffer.concat(fields)
}

function encodePayload ({ prefix, data }: BlockPayload): Uint8Array[] {
  const head = Buffer.concat([lengthHeader(0x0a, prefix.byteLength), prefix, lengthHeader(0x12, data.byteLength)])
  return [lengthHeader(PAYLOAD, head.byteLength + data.byteLength), head, data]
}

function encodePresence ({ cid, type }: BlockPresence): Uint8Array {
  const fields = Buffer.concat([lengthHeader(0x0a, cid.bytes.byteLength), cid.bytes, ...type === 'have' ? [] : [Uint8Array.of(0x10, 1)]])
  return Buffer.concat([lengthHeader(PRESENCES, fields.byteLength), fields])
}

function lengthHeader (tag: number, byteLength: number): Uint8Array {
  const bytes = new Uint8Array(1 + varintLength(byteLength))
  bytes[0] = tag
  writeVarint(bytes, 1, byteLength)
  return bytes
}

function encodeVarint (value: number): Uint8Array {
  const bytes = new Uint8Array(varintLength(value))
  writeVarint(bytes, 0, value)
  return bytes
}

function joinSmall (parts: readonly Uint8Array[]): Uint8Array[] {
  const joined: Uint8Array[] = []
  let small: Uint8Array[] = []
  for (const part of parts) {
    if (part.byteLength < SMALL_BYTES) {
      small.push(part)
      continue
    }
    if (small.length > 0) joined.push(plain(Buffer.concat(small)))
    small = []
    joined.push(part)
  }
  if (small.length > 0) joined.push(plain(Buffer.concat(small)))
  return joined
}

function plain (buffer: Buffer): Uint8Array {
  return new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.byteLength)
}
