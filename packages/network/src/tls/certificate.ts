/**
 * The certificate that shows who a node is, as DER (X.690) of RFC 5280:
 *
 * ```
 * certificate = SEQUENCE { body, algorithm, BIT STRING signature by the certificate's own key }
 * body        = SEQUENCE { [0] version 3, serial, algorithm, issuer {}, validity, subject {}, key, [3] { extension } }
 * extension   = SEQUENCE { 1.3.6.1.4.1.53594.1.1, critical, OCTET STRING { SEQUENCE { identity, proof } } }
 * identity    = OCTET STRING, the public key of the node as protobuf
 * proof       = OCTET STRING, "libp2p-tls-handshake:" and the certificate's key, signed with that of the node
 * ```
 *
 * The library makes such certificates too, but valid from an hour before on its clock. Whether two nodes can connect must not hang
 * on their clocks: what is signed is the key, not a time.
 *
 * @see https://github.com/libp2p/specs/blob/master/tls/tls.md "libp2p Public Key Extension"
 */
import { publicKeyToProtobuf } from '@libp2p/crypto/keys'
import type { PrivateKey } from '@libp2p/interface'
import { generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto'

/** A certificate and its key, in PEM. */
export interface Certificate {
  readonly cert: string
  readonly key: string
}

/** From when until when certificates are valid: always, as rust-libp2p has it. */
export const VALID_FROM = '19750101000000Z'
export const VALID_UNTIL = '40960101000000Z'

/** Bytes of a serial number: random, so that no two certificates have the same. */
const SERIAL_BYTES = 8

const SEQUENCE = 0x30

/** 1.3.6.1.4.1.53594.1.1 */
const LIBP2P_EXTENSION: Uint8Array = der(0x06, Buffer.from('2b0601040183a25a0101', 'hex'))

/** 1.2.840.10045.4.3.2, ECDSA with SHA-256 */
const ALGORITHM: Uint8Array = der(SEQUENCE, der(0x06, Buffer.from('2a8648ce3d040302', 'hex')))

/** Makes a key, and a certificate that says whose it is. */
export async function newCertificate (identity: PrivateKey): Promise<Certificate> {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const proof = await identity.sign(Buffer.concat([Buffer.from('libp2p-tls-handshake:'), spki(publicKey)]))
  const signedKey = der(SEQUENCE, der(0x04, publicKeyToProtobuf(identity.publicKey)), der(0x04, proof))
  const extension = der(SEQUENCE, LIBP2P_EXTENSION, der(0x01, Uint8Array.of(0xff)), der(0x04, signedKey))
  const name = der(SEQUENCE)
  const body = der(SEQUENCE, der(0xa0, der(0x02, Uint8Array.of(2))), serial(), ALGORITHM, name, validity(), name, spki(publicKey), der(0xa3, der(SEQUENCE, extension)))
  const bytes = der(SEQUENCE, body, ALGORITHM, der(0x03, Uint8Array.of(0), sign('sha256', body, privateKey)))
  return { cert: pem(bytes), key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString() }
}

/** Times before 2050 have two digits for the year. RFC 5280, 4.1.2.5. */
function validity (): Uint8Array {
  return der(SEQUENCE, der(0x17, Buffer.from(VALID_FROM.slice(2))), der(0x18, Buffer.from(VALID_UNTIL)))
}

/** Positive, and without zeros in front. */
function serial (): Uint8Array {
  const bytes = randomBytes(SERIAL_BYTES)
  bytes[0] = (bytes[0] ?? 0) & 0x3f | 0x40
  return der(0x02, bytes)
}

function spki (key: KeyObject): Uint8Array {
  return key.export({ type: 'spki', format: 'der' })
}

function pem (bytes: Uint8Array): string {
  return `-----BEGIN CERTIFICATE-----\n${Buffer.from(bytes).toString('base64').replace(/.{64}/g, '$&\n').trimEnd()}\n-----END CERTIFICATE-----\n`
}

/** Tag, length, value. An RSA key of 8,192 bits and its signature take some 2 KiB. */
function der (tag: number, ...parts: readonly Uint8Array[]): Uint8Array {
  const value = Buffer.concat(parts)
  const { byteLength } = value
  const length = byteLength < 0x80 ? [byteLength] : byteLength < 0x100 ? [0x81, byteLength] : [0x82, byteLength >> 8, byteLength & 0xff]
  return Buffer.concat([Uint8Array.of(tag, ...length), value])
}
