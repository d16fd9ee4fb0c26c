/**
 * `/holdfast/challenge/1.0.0`: a member shows another that it holds some blocks, without sending them.
 *
 * ```
 * asker  → holder  { t: "challenge", v: 1, nonce: 32 bytes, cids: [link] }
 * holder → asker   { t: "proof", digests: [ 32 bytes: SHA-256(nonce ‖ bytes of the block), or null ] }
 * ```
 *
 * The asker has the blocks itself. It is no defence against a holder that fetches them from elsewhere in time. reference/replication.md 5.7.
 */
import type { BlockReader } from '@holdfast/blockstore'
import { type Block, decodeDagCbor, HoldfastError, isHoldfastError } from '@holdfast/core'
import type { PeerStream } from '@holdfast/network'
import { encode } from '@ipld/dag-cbor'
import { CID } from 'multiformats/cid'
import { createHash, randomBytes } from 'node:crypto'
import { Fields } from '../record/fields.ts'
import { frameOf, readFrames } from '../sync/frames.ts'
import { CHALLENGE_BLOCKS } from './limits.ts'

export const CHALLENGE_PROTOCOL = '/holdfast/challenge/1.0.0'

const NONCE_BYTES = 32
const DIGEST_BYTES = 32

/** Bytes of a message: 20 of the longest CIDs, and what stands around them. */
const MAX_CHALLENGE_BYTES = 4096

/** Asks whoever is on the stream to prove that it holds the blocks. Returns for each whether it did. @throws `INVALID` for an answer that is none. */
export async function challenge (stream: PeerStream, blocks: readonly Block[]): Promise<boolean[]> {
  const nonce = new Uint8Array(randomBytes(NONCE_BYTES))
  await stream.write(frameOf(encode({ t: 'challenge', v: 1, nonce, cids: blocks.map(({ cid }) => cid) })))
  await stream.closeWrite()
  const fields = await readOne(stream)
  fields.oneOf('t', ['proof'])
  const digests = fields.list('digests', CHALLENGE_BLOCKS)
  return blocks.map((block, index) => {
    const digest = digests[index]
    return digest instanceof Uint8Array && Buffer.compare(digest, proofOf(nonce, block)) === 0
  })
}

/** Answers one challenge from what is stored here. Holds one block at a time. */
export async function answerChallenge (stream: PeerStream, blocks: BlockReader): Promise<void> {
  const fields = await readOne(stream)
  fields.oneOf('t', ['challenge'])
  fields.integer('v', { min: 1, max: 1 })
  const nonce = fields.bytes('nonce', { min: NONCE_BYTES, max: NONCE_BYTES })
  const cids = fields.list('cids', CHALLENGE_BLOCKS).map((value) => CID.asCID(value))
  const digests: Array<Uint8Array | null> = []
  for (const cid of cids) {
    const block = cid === null ? undefined : await readable(blocks, cid)
    digests.push(block === undefined ? null : proofOf(nonce, block))
  }
  await stream.write(frameOf(encode({ t: 'proof', digests })))
  await stream.closeWrite()
}

/** A block that rotted, or cannot be checked, is not held. */
async function readable (blocks: BlockReader, cid: CID): Promise<Block | undefined> {
  try {
    return await blocks.get(cid)
  } catch (err) {
    if (isHoldfastError(err)) return undefined
    throw err
  }
}

function proofOf (nonce: Uint8Array, { bytes }: Block): Uint8Array {
  const digest = createHash('sha256').update(nonce).update(bytes).digest()
  return new Uint8Array(digest.buffer, digest.byteOffset, DIGEST_BYTES)
}

async function readOne (stream: PeerStream): Promise<Fields> {
  for await (const frame of readFrames(stream.read(), { maxBytes: MAX_CHALLENGE_BYTES })) return new Fields(decodeDagCbor(frame), 'A message of the challenge protocol')
  throw new HoldfastError('UNAVAILABLE', `${stream.peer} closed the stream without an answer`, { peer: stream.peer })
}
