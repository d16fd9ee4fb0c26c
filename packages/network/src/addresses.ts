import { HoldfastError } from '@holdfast/core'
import type { PeerId as LibraryPeerId } from '@libp2p/interface'
import { peerIdFromString } from '@libp2p/peer-id'
import { CODE_P2P, type Multiaddr, multiaddr } from '@multiformats/multiaddr'
import { MAX_ADDRESS_BYTES } from './limits.ts'

/** Whom and where to dial. */
export interface DialTarget {
  readonly peer: LibraryPeerId
  /** Absent when only a peer id was given. */
  readonly address?: Multiaddr
}

/**
 * Reads a multiaddr that ends in `/p2p/…`, or a bare peer id.
 *
 * @throws `INVALID` naming what is wrong with it.
 */
export function parseDialTarget (text: string): DialTarget {
  if (!text.startsWith('/')) return { peer: parsePeerId(text) }
  const address = parseMultiaddr(text)
  const peer = address.getComponents().findLast(({ code }) => code === CODE_P2P)?.value
  if (peer === undefined) throw new HoldfastError('INVALID', `${text} does not say which peer is there: add /p2p/ and its peer id`, { address: text })
  return { peer: parsePeerId(peer), address }
}

/** @throws `INVALID` for text that is not a multiaddr, or one beyond `MAX_ADDRESS_BYTES`. */
export function parseMultiaddr (text: string): Multiaddr {
  const address = readMultiaddr(text)
  if (address === undefined) throw new HoldfastError('INVALID', `${shortened(text)} is not a multiaddr, such as /ip4/192.0.2.1/tcp/4001/p2p/12D3Koo…`, { address: shortened(text) })
  return address
}

/** The multiaddr, or `undefined` for what nobody can read. */
export function readMultiaddr (address: string | Uint8Array): Multiaddr | undefined {
  // A text is at most some three times as long as its bytes; a parser is not asked about more.
  if (address.length === 0 || address.length > 4 * MAX_ADDRESS_BYTES) return undefined
  try {
    const parsed = multiaddr(address)
    return parsed.bytes.byteLength <= MAX_ADDRESS_BYTES ? parsed : undefined
  } catch {
    return undefined
  }
}

/** @throws `INVALID` for text that is not a peer id. */
export function parsePeerId (text: string): LibraryPeerId {
  try {
    return peerIdFromString(text)
  } catch (cause) {
    throw new HoldfastError('INVALID', `${shortened(text)} is not a peer id, such as 12D3Koo… or Qm…`, { cause, peer: shortened(text) })
  }
}

function shortened (text: string): string {
  return text.length <= 120 ? text : `${text.slice(0, 120)}…`
}
