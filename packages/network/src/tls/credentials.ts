/** Who we are in a TLS handshake. */
import type { PrivateKey } from '@libp2p/interface'
import { constants } from 'node:crypto'
import { createSecureContext, type SecureContext } from 'node:tls'
import { newCertificate } from './certificate.ts'

/** One certificate and what OpenSSL keeps for it, made when the first connection asks and shared by all that follow. */
export class Credentials {
  readonly #privateKey: PrivateKey
  #context: Promise<SecureContext> | undefined

  constructor (privateKey: PrivateKey) {
    this.#privateKey = privateKey
  }

  /** For both sides of a handshake: they differ only in what is asked of the socket. */
  async secureContext (): Promise<SecureContext> {
    this.#context ??= createContext(this.#privateKey).catch((err: unknown) => {
      this.#context = undefined
      throw err
    })
    return await this.#context
  }
}

/**
 * No tickets: who came back with one would be taken for the peer without showing a certificate, which no spec of libp2p allows for.
 * No authorities: peers sign their own certificates, and Node would read the 150 of the Web for us.
 */
async function createContext (privateKey: PrivateKey): Promise<SecureContext> {
  const { cert, key } = await newCertificate(privateKey)
  return createSecureContext({ cert, key, ca: [], minVersion: 'TLSv1.3', maxVersion: 'TLSv1.3', secureOptions: constants.SSL_OP_NO_TICKET })
}
