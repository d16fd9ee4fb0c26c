/** Certificates of libp2p, also such as nobody should believe. */
import { generateKeyPair, publicKeyToProtobuf } from '@libp2p/crypto/keys'
import type { PrivateKey } from '@libp2p/interface'
import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto'

export interface CertificateOptions {
  readonly identity?: PrivateKey
  readonly notBefore?: Date
  readonly notAfter?: Date
  /** What is signed with the key of the identity, in place of the key of the certificate. */
  readonly signedKey?: KeyObject
  /** Who says to be the identity; its own public key when absent. */
  readonly claimed?: PrivateKey
  /** What signs the certificate, in place of its own key. */
  readonly issuer?: KeyObject
  readonly extension?: 'absent' | 'junk' | 'complete'
}

export interface Certificate {
  readonly cert: string
  readonly key: string
  readonly identity: PrivateKey
}

const DAY_MS = 24 * 60 * 60 * 1000

/** @see https://github.com/libp2p/specs/blob/master/tls/tls.md "libp2p Public Key Extension" */
export async function newCertificate ({ identity, notBefore = new Date(Date.now() - DAY_MS), notAfter = new Date(Date.now() + DAY_MS), signedKey, claimed, issuer, extension = 'complete' }: CertificateOptions = {}): Promise<Certificate> {
  const signer = identity ?? await generateKeyPair('Ed25519')
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const proof = await signer.sign(Buffer.concat([Buffer.from('libp2p-tls-handshake:'), spki(signedKey ?? publicKey)]))
  const signedKeyValue = extension === 'junk' ? Buffer.from('no sequence') : der(0x30, der(0x04, publicKeyToProtobuf((claimed ?? signer).publicKey)), der(0x04, proof))
  const extensions = extension === 'absent' ? [] : [der(0xa3, der(0x30, der(0x30, LIBP2P_EXTENSION, der(0x04, signedKeyValue))))]
  const body = der(0x30, der(0xa0, der(0x02, Uint8Array.of(2))), der(0x02, Uint8Array.of(1)), ECDSA_SHA256, der(0x30), der(0x30, time(notBefore), time(notAfter)), der(0x30), spki(publicKey), ...extensions)
  const signature = sign('sha256', body, issuer ?? privateKey)
  const bytes = der(0x30, body, ECDSA_SHA256, der(0x03, Uint8Array.of(0), signature))
  const cert = `-----BEGIN CERTIFICATE-----\n${bytes.toString('base64').replace(/.{64}/g, '$&\n')}\n-----END CERTIFICATE-----\n`
  return { cert, key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(), identity: signer }
}

export function newKey (): { readonly publicKey: KeyObject, readonly privateKey: KeyObject } {
  return generateKeyPairSync('ec', { namedCurve: 'P-256' })
}

/** 1.3.6.1.4.1.53594.1.1 */
const LIBP2P_EXTENSION = der(0x06, Buffer.from('2b0601040183a25a0101', 'hex'))
/** 1.2.840.10045.4.3.2 */
const ECDSA_SHA256 = der(0x30, der(0x06, Buffer.from('2a8648ce3d040302', 'hex')))

function spki (key: KeyObject): Buffer {
  return key.export({ type: 'spki', format: 'der' })
}

function time (date: Date): Buffer {
  return der(0x18, Buffer.from(`${date.toISOString().replace(/[-:T]/g, '').slice(0, 14)}Z`))
}

/** Tag, length, value. */
function der (tag: number, ...parts: readonly Uint8Array[]): Buffer {
  const value = Buffer.concat(parts)
  const { byteLength } = value
  const length = byteLength < 0x80 ? [byteLength] : byteLength < 0x100 ? [0x81, byteLength] : [0x82, byteLength >> 8, byteLength & 0xff]
  return Buffer.concat([Uint8Array.of(tag, ...length), value])
}
