/**
 * Who fetches which block, decided by each peer for itself and by all alike: rendezvous hashing, so that a peer
 * which goes leaves its share to all others and moves nothing else.
 *
 * ```
 * score(peer, block) = fmix32(seed(peer) XOR last 4 bytes of the digest)     the highest score is responsible
 * seed(peer)         = first 4 bytes of SHA-256 of the peer's id
 * ```
 *
 * @see D. Thaler, C. Ravishankar: Using name-based mappings to increase hit rates, 1998; fmix32: A. Appleby, MurmurHash3
 */
import type { PeerId } from '@holdfast/network'
import type { CID } from 'multiformats/cid'
import { createHash } from 'node:crypto'

/** A peer that shares are dealt out to. */
export interface Candidate {
  readonly id: PeerId
  readonly seed: number
}

/** Computes what is the same for all blocks of a peer. */
export function candidateOf (id: PeerId): Candidate {
  return { id, seed: createHash('sha256').update(id).digest().readUInt32BE(0) }
}

/** Orders the peers by how much a block is theirs, the responsible one first, whatever order they are given in. */
export function rankFor (cid: CID, candidates: readonly Candidate[]): Candidate[] {
  const seed = seedOf(cid)
  const scored = candidates.map((candidate) => ({ candidate, score: fmix32(candidate.seed ^ seed) }))
  scored.sort((a, b) => b.score - a.score || (a.candidate.id < b.candidate.id ? -1 : 1))
  return scored.map(({ candidate }) => candidate)
}

function seedOf ({ multihash: { digest } }: CID): number {
  let seed = 0
  for (const byte of digest.subarray(-4)) seed = seed << 8 | byte
  return seed
}

/** Spreads each bit of the input over all bits of the output. */
function fmix32 (input: number): number {
  let hash = input
  hash = Math.imul(hash ^ hash >>> 16, 0x85ebca6b)
  hash = Math.imul(hash ^ hash >>> 13, 0xc2b2ae35)
  return (hash ^ hash >>> 16) >>> 0
}
