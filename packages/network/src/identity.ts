/**
 * The identity of a node: an Ed25519 key pair in `identity.key`.
 *
 * ```
 * PrivateKey { Type = 1 enum (1: Ed25519), Data = 2 bytes: 32 of the seed, 32 of the public key }
 * PublicKey  { Type = 1 enum (1: Ed25519), Data = 2 bytes: 32 of the public key }
 * peer id    base58btc of the identity multihash of PublicKey
 * ```
 *
 * Written with node:crypto, so that a client command that only needs the peer id loads no libp2p; libp2p reads the same file.
 *
 * @see https://github.com/libp2p/specs/blob/master/peer-ids/peer-ids.md
 */
import { createFile, HoldfastError, type Logger, silentLogger } from '@holdfast/core'
import { base58btc } from 'multiformats/bases/base58'
import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, sign, verify } from 'node:crypto'
import { chmod, readFile, stat } from 'node:fs/promises'
import { inspect } from 'node:util'

/** Who a node is. */
export interface Identity {
  /** `12D3Koo…` */
  readonly peerId: string
  readonly privateKey: PrivateKey
  /** Signs the bytes as they are: the caller puts in front what they are for, so that no signature serves two purposes. */
  sign(bytes: Uint8Array): Uint8Array
}

/** Bytes of an Ed25519 signature. */
export const SIGNATURE_BYTES = 64

/**
 * Reports whether `signature` is that of the peer over `bytes`.
 *
 * The key lies in the peer id, so nothing is looked up. Of peers with keys that are not Ed25519 no signature counts.
 */
export function verifySignature (peer: string, bytes: Uint8Array, signature: Uint8Array): boolean {
  const key = verifyingKeyOf(peer)
  return key !== undefined && signature.byteLength === SIGNATURE_BYTES && verify(null, bytes, key, signature)
}

/** A private key that does not show itself: printing or serializing it gives a placeholder. */
export interface PrivateKey {
  /** The libp2p PrivateKey message, as `privateKeyFromProtobuf` reads it. A secret. */
  toProtobuf(): Uint8Array
}

class HiddenPrivateKey implements PrivateKey {
  readonly #protobuf: Uint8Array

  constructor (protobuf: Uint8Array) {
    this.#protobuf = protobuf
  }

  toProtobuf (): Uint8Array {
    return this.#protobuf.slice()
  }

  toJSON (): string {
    return '[private key]'
  }

  toString (): string {
    return '[private key]'
  }

  [inspect.custom] (): string {
    return '[private key]'
  }
}

export interface IdentityOptions {
  log?: Logger | undefined
}

/** The first bytes of the two messages: the type, then tag and length of the data. */
const PRIVATE_KEY_PREFIX = Uint8Array.of(0x08, 0x01, 0x12, 0x40)
const PUBLIC_KEY_PREFIX = Uint8Array.of(0x08, 0x01, 0x12, 0x20)

/** Ed25519 keys in PKCS #8, RFC 8410: everything before the 32 bytes of the seed. */
const PKCS8_PREFIX = Buffer.from('302e020100300506032b657004220420', 'hex')

/** Ed25519 public keys as SubjectPublicKeyInfo, RFC 8410: everything before the 32 bytes. */
const SPKI_PREFIX = Buffer.from('302a300506032b6570032100', 'hex')

const KEY_BYTES = 32

/** Longest text that can be the peer id of an Ed25519 key: 38 bytes in base58. */
const MAX_PEER_ID_CHARACTERS = 53

/**
 * Reads the identity at `path`, or makes a new one there when there is none.
 *
 * The file is durable when this resolves. Of two processes that make one at the same time both end with the same.
 *
 * @throws `CORRUPT` when the file is no identity: it is never overwritten; `UNAVAILABLE` when it cannot be read or written.
 */
export async function openIdentity (path: string, { log = silentLogger }: IdentityOptions = {}): Promise<Identity> {
  try {
    const found = await readOrUndefined(path)
    if (found === undefined) await createIdentity(path)
    else await requirePrivate(path, log)
    return parseIdentity(found ?? await readFile(path), path)
  } catch (cause) {
    if (cause instanceof HoldfastError) throw cause
    throw new HoldfastError('UNAVAILABLE', `Cannot open the identity ${path}: ${cause instanceof Error && 'code' in cause ? String(cause.code) : String(cause)}`, { cause, path })
  }
}

function parseIdentity (protobuf: Uint8Array, path: string): Identity {
  const seed = protobuf.subarray(PRIVATE_KEY_PREFIX.byteLength, PRIVATE_KEY_PREFIX.byteLength + KEY_BYTES)
  const publicKey = protobuf.subarray(PRIVATE_KEY_PREFIX.byteLength + KEY_BYTES)
  const isWhole = protobuf.byteLength === PRIVATE_KEY_PREFIX.byteLength + 2 * KEY_BYTES
  if (!isWhole || !startsWith(protobuf, PRIVATE_KEY_PREFIX) || Buffer.compare(publicKeyOf(seed), publicKey) !== 0) {
    throw new HoldfastError('CORRUPT', `${path} is not the identity of a node. Restore it from a backup; without one, move it away and the node gets a new identity`, { path })
  }
  const key = signingKeyOf(seed)
  return {
    peerId: peerIdOf(publicKey),
    privateKey: new HiddenPrivateKey(new Uint8Array(protobuf)),
    sign: (bytes) => new Uint8Array(sign(null, bytes, key))
  }
}

/** Keys of peers that signed of late: to make one costs as much as a verification. A cluster has at most 1,024 members. */
const verifyingKeys = new Map<string, KeyObject>()
const MAX_VERIFYING_KEYS = 1024

function verifyingKeyOf (peer: string): KeyObject | undefined {
  const known = verifyingKeys.get(peer)
  if (known !== undefined) return known
  const publicKey = publicKeyIn(peer)
  if (publicKey === undefined) return undefined
  const key = createPublicKey({ key: Buffer.concat([SPKI_PREFIX, publicKey]), format: 'der', type: 'spki' })
  const [oldest] = verifyingKeys.keys()
  if (verifyingKeys.size >= MAX_VERIFYING_KEYS && oldest !== undefined) verifyingKeys.delete(oldest)
  verifyingKeys.set(peer, key)
  return key
}

/** The Ed25519 key in a peer id, or `undefined` for any other text. */
function publicKeyIn (peer: string): Uint8Array | undefined {
  if (peer.length > MAX_PEER_ID_CHARACTERS) return undefined
  try {
    const bytes = base58btc.baseDecode(peer)
    const prefix = Buffer.concat([Uint8Array.of(0x00, PUBLIC_KEY_PREFIX.byteLength + KEY_BYTES), PUBLIC_KEY_PREFIX])
    return bytes.byteLength === prefix.byteLength + KEY_BYTES && startsWith(bytes, prefix) ? bytes.subarray(prefix.byteLength) : undefined
  } catch {
    return undefined
  }
}

function peerIdOf (publicKey: Uint8Array): string {
  const message = Buffer.concat([PUBLIC_KEY_PREFIX, publicKey])
  // An identity multihash: code 0, length, the message itself.
  return base58btc.baseEncode(Buffer.concat([Uint8Array.of(0x00, message.byteLength), message]))
}

function publicKeyOf (seed: Uint8Array): Buffer {
  return rawPublicKey(createPublicKey(signingKeyOf(seed)))
}

function signingKeyOf (seed: Uint8Array): KeyObject {
  return createPrivateKey({ key: Buffer.concat([PKCS8_PREFIX, seed]), format: 'der', type: 'pkcs8' })
}

function rawPublicKey (key: KeyObject): Buffer {
  return key.export({ format: 'der', type: 'spki' }).subarray(-KEY_BYTES)
}

/** Of two processes that do this at the same time one is faster: its identity is the identity. */
async function createIdentity (path: string): Promise<void> {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519')
  const seed = privateKey.export({ format: 'der', type: 'pkcs8' }).subarray(-KEY_BYTES)
  await createFile(path, Buffer.concat([PRIVATE_KEY_PREFIX, seed, rawPublicKey(publicKey)]))
}

async function requirePrivate (path: string, log: Logger): Promise<void> {
  if (process.platform === 'win32') return
  const { mode } = await stat(path)
  if ((mode & 0o077) === 0) return
  log.warn('The identity could be read by other users; its mode was corrected', { path, mode: (mode & 0o777).toString(8) })
  await chmod(path, 0o600)
}

async function readOrUndefined (path: string): Promise<Buffer | undefined> {
  try {
    return await readFile(path)
  } catch (err) {
    if (isErrno(err, 'ENOENT')) return undefined
    throw err
  }
}

function startsWith (bytes: Uint8Array, prefix: Uint8Array): boolean {
  return Buffer.compare(bytes.subarray(0, prefix.byteLength), prefix) === 0
}

function isErrno (err: unknown, errno: string): boolean {
  return err instanceof Error && 'code' in err && err.code === errno
}
