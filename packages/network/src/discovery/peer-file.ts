/**
 * The file of remembered peers.
 *
 * ```
 * { "version": 1, "peers": [ { "address": "/ip4/192.0.2.1/tcp/4001/p2p/12D3Koo…", "seenMs": 1795000000000 }, … ] }
 * ```
 *
 * @see docs/formats/repository.md, "peers.json"
 */
import { replaceFile } from '@holdfast/core'
import { CODE_P2P_CIRCUIT } from '@multiformats/multiaddr'
import { open } from 'node:fs/promises'
import { parseDialTarget } from '../addresses.ts'
import type { PeerAddress } from './bootstrap-peers.ts'
import { MAX_PEER_FILE_BYTES, MAX_REMEMBERED_PEERS } from './discovery-limits.ts'

/** A peer that was good, and when it was connected last, in ms since 1970. */
export interface RememberedPeer extends PeerAddress {
  readonly seenMs: number
}

/**
 * Reads the file as something that anybody may have written: what is no address of a peer is passed over.
 *
 * @returns `undefined` when it is no such file; an empty list when there is none.
 */
export async function readPeerFile (path: string): Promise<RememberedPeer[] | undefined> {
  const bytes = await readAtMost(path, MAX_PEER_FILE_BYTES)
  return bytes === undefined ? [] : parsePeerFile(bytes)
}

/** The peers of the file, newest first, one entry for each; `undefined` for bytes that are no such file. */
export function parsePeerFile (bytes: Uint8Array): RememberedPeer[] | undefined {
  if (bytes.byteLength > MAX_PEER_FILE_BYTES) return undefined
  let content: unknown
  try {
    content = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch {
    return undefined
  }
  if (!isRecord(content) || content['version'] !== 1 || !Array.isArray(content['peers'])) return undefined
  const peers = content['peers'].slice(0, 2 * MAX_REMEMBERED_PEERS).map(parseEntry).filter((entry) => entry !== undefined)
  const byPeer = new Map(peers.toSorted((a, b) => a.seenMs - b.seenMs).map((entry) => [entry.peer, entry]))
  return [...byPeer.values()].reverse().slice(0, MAX_REMEMBERED_PEERS)
}

export function encodePeerFile (peers: readonly RememberedPeer[]): Uint8Array {
  const entries = peers.slice(0, MAX_REMEMBERED_PEERS).map(({ address, seenMs }) => ({ address: address.toString(), seenMs }))
  return new TextEncoder().encode(`${JSON.stringify({ version: 1, peers: entries }, null, 2)}\n`)
}

/** Writes the file anew, as a whole or not at all. */
export async function writePeerFile (path: string, peers: readonly RememberedPeer[]): Promise<void> {
  await replaceFile(path, encodePeerFile(peers))
}

async function readAtMost (path: string, maxBytes: number): Promise<Uint8Array | undefined> {
  try {
    await using file = await open(path, 'r')
    const buffer = Buffer.alloc(maxBytes + 1)
    const { bytesRead } = await file.read(buffer, 0, buffer.byteLength, 0)
    return buffer.subarray(0, bytesRead)
  } catch (err) {
    if (err instanceof Error && 'code' in err && err.code === 'ENOENT') return undefined
    throw err
  }
}

function parseEntry (entry: unknown): RememberedPeer | undefined {
  if (!isRecord(entry)) return undefined
  const { address: text, seenMs } = entry
  if (typeof text !== 'string' || typeof seenMs !== 'number' || !Number.isSafeInteger(seenMs) || seenMs < 0) return undefined
  try {
    const { peer, address } = parseDialTarget(text)
    const isDirect = address?.getComponents().every(({ code }) => code !== CODE_P2P_CIRCUIT) === true
    return isDirect && address !== undefined ? { peer: peer.toString(), address, seenMs } : undefined
  } catch {
    return undefined
  }
}

function isRecord (value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null
}
