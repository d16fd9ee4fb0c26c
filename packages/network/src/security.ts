/** How connections are encrypted. The only file that knows which package Noise comes from. */
import { noise } from '@chainsafe/libp2p-noise'
import { publicKeyFromProtobuf } from '@libp2p/crypto/keys'
import type { ComponentLogger, ConnectionEncrypter, ConnectionGater, Metrics, PeerId, PrivateKey, PublicKey, Upgrader } from '@libp2p/interface'
import { tls } from '@libp2p/tls'
import { MAX_RSA_BITS, MIN_RSA_BITS } from './limits.ts'

interface Components {
  peerId: PeerId
  privateKey: PrivateKey
  logger: ComponentLogger
  upgrader: Upgrader
  metrics?: Metrics
}

/** TLS first: about twice as fast here. Noise for the peers that lack it. The one who dials decides. */
export function encrypters (): Array<(components: Components) => ConnectionEncrypter> {
  return [tls(), noise()]
}

/**
 * Turns away peers whose key is too weak or too long, where the handshake shows the key: Noise does, TLS only the peer id.
 *
 * The library refuses a key of more than 8,192 bits before it computes anything with it.
 */
export const keyGater: ConnectionGater = {
  denyInboundEncryptedConnection: ({ publicKey }) => publicKey !== undefined && !isAcceptableKey(publicKey),
  denyOutboundEncryptedConnection: ({ publicKey }) => publicKey !== undefined && !isAcceptableKey(publicKey)
}

/** Whether a public key that a peer sent as protobuf is one that we deal with. */
export function isAcceptableKeyBytes (bytes: Uint8Array): boolean {
  try {
    return isAcceptableKey(publicKeyFromProtobuf(bytes))
  } catch {
    return false
  }
}

function isAcceptableKey (key: PublicKey): boolean {
  if (key.type !== 'RSA') return true
  const bits = modulusBits(key.jwk.n ?? '')
  return bits >= MIN_RSA_BITS && bits <= MAX_RSA_BITS
}

function modulusBits (modulus: string): number {
  const bytes = Buffer.from(modulus, 'base64url')
  const first = bytes.findIndex((byte) => byte !== 0)
  return first === -1 ? 0 : 8 * (bytes.byteLength - first) - Math.clz32(bytes[first] ?? 0) + 24
}
