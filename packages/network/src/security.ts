/** How connections are encrypted. The only file that knows which package Noise comes from. */
import { publicKeyFromProtobuf } from '@libp2p/crypto/keys'
import type { ComponentLogger, ConnectionEncrypter, ConnectionGater, Metrics, PeerId, PrivateKey, PublicKey, SecureConnectionOptions, SecuredConnection, Upgrader } from '@libp2p/interface'
import { socketTls } from './tls/encrypter.ts'
import { MAX_RSA_BITS, MIN_RSA_BITS } from './limits.ts'
import { overriding } from './overriding.ts'

interface Components {
  peerId: PeerId
  privateKey: PrivateKey
  logger: ComponentLogger
  upgrader: Upgrader
  metrics?: Metrics
}

/** TLS first: about twice as fast here. Noise for the peers that lack it. The one who dials decides. */
export function encrypters (): Array<(components: Components) => ConnectionEncrypter> {
  return [naming(socketTls()), naming(lazyNoise)]
}

/** The id of the protocol, fixed by its spec (https://github.com/libp2p/specs/tree/master/noise). */
const NOISE = '/noise'

/** Noise, loaded with the first peer that asks for it: its ciphers are WebAssembly and take some MiB, and most peers speak TLS. */
function lazyNoise (components: Components): ConnectionEncrypter {
  let loading: Promise<ConnectionEncrypter> | undefined
  const loaded = async (): Promise<ConnectionEncrypter> => await (loading ??= import('@chainsafe/libp2p-noise').then(({ noise }) => noise()(components)))
  return {
    protocol: NOISE,
    secureInbound: async (stream, options) => await (await loaded()).secureInbound(stream, options),
    secureOutbound: async (stream, options) => await (await loaded()).secureOutbound(stream, options)
  }
}

/** The message of the library where a node has met itself. */
export const DIALLED_SELF = 'Can not dial self'

/** The message where a node has met somebody else, before the id: of what fails in a handshake the library keeps the message only. */
const OTHER_PEER = 'This address belongs to another peer: '

/** Who answered in a handshake that failed because it was not the one that was dialled. */
export function otherPeerOf (err: Error): string | undefined {
  return err.message.startsWith(OTHER_PEER) ? err.message.slice(OTHER_PEER.length) : undefined
}

/**
 * The encrypter, with peer ids compared here: TLS does not say whom it met, and Noise compares nothing where the id does not hold
 * the key, as with RSA.
 */
function naming (make: (components: Components) => ConnectionEncrypter): (components: Components) => ConnectionEncrypter {
  return (components) => {
    const inner = make(components)
    return overriding(inner, {
      secureInbound: async (stream, options) => requirePeer(await inner.secureInbound(stream, withoutPeer(options)), options?.remotePeer, components.peerId),
      secureOutbound: async (stream, options) => requirePeer(await inner.secureOutbound(stream, withoutPeer(options)), options?.remotePeer, components.peerId)
    })
  }
}

function withoutPeer ({ remotePeer: _, ...options }: SecureConnectionOptions = {}): SecureConnectionOptions {
  return options
}

/** @throws when the peer that proved its id in the handshake is not the one that was dialled; the connection is ended. */
function requirePeer (secured: SecuredConnection, expected: PeerId | undefined, self: PeerId): SecuredConnection {
  if (expected === undefined || secured.remotePeer.equals(expected)) return secured
  const err = new Error(secured.remotePeer.equals(self) ? DIALLED_SELF : `${OTHER_PEER}${secured.remotePeer.toString()}`)
  secured.connection.abort(err)
  throw err
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
