/**
 * Tokens in the form of Kubo's `API.Authorizations`: a secret, and the paths that it opens.
 *
 * Unlike Kubo's, paths are matched by whole segments: `/api/v0/pin` opens `/api/v0/pin/ls` and not `/api/v0/pinning`.
 *
 * @see kubo core/corehttp/commands.go, config/api.go
 */
import { createHash, timingSafeEqual } from 'node:crypto'

/** A secret and what it opens. */
export interface RpcToken {
  /** `bearer:TOKEN`, `basic:USER:PASSWORD`, `basic:BASE64`, `sha256:HEX` of a bearer token, or a bearer token alone. */
  readonly secret: string
  /** Beginnings of paths, by whole segments. `/api/v0` opens every command. */
  readonly allowedPaths: readonly string[]
}

/** Every valid token may ask for the version: clients do that first. */
const ALWAYS_ALLOWED = '/api/v0/version'

/** Says whether the token of a request opens a path. */
export interface RpcTokens {
  opens(authorization: string | undefined, path: string): boolean
}

/** Keeps digests of the secrets only. */
export function createRpcTokens (tokens: readonly RpcToken[]): RpcTokens {
  const known = tokens.map(({ secret, allowedPaths }) => ({ digest: digestOf(secret), allowedPaths }))
  return {
    opens (authorization, path) {
      const given = digestOfHeader(authorization ?? '')
      // Every token is compared, in constant time each: how long it takes tells nothing.
      const fitting = known.filter(({ digest }) => timingSafeEqual(digest, given))
      return fitting.some(({ allowedPaths }) => path === ALWAYS_ALLOWED || allowedPaths.some((allowed) => isBelow(path, allowed)))
    }
  }
}

function isBelow (path: string, allowed: string): boolean {
  const prefix = allowed.replace(/\/+$/, '')
  return path === prefix || path.startsWith(`${prefix}/`)
}

/** The digest of what stands behind the scheme, with the scheme: `Basic` and `Bearer` never meet. */
function digestOfHeader (header: string): Buffer {
  const [, scheme = '', value = ''] = /^(basic|bearer) +(\S+)$/i.exec(header) ?? []
  return scheme.toLowerCase() === 'bearer' ? bearerDigest(sha256(value)) : sha256(`basic ${value}`)
}

function digestOf (secret: string): Buffer {
  const [, kind = 'bearer', value = secret] = /^(bearer|basic|sha256):(.*)$/s.exec(secret) ?? []
  switch (kind) {
    case 'basic': return sha256(`basic ${value.includes(':') ? Buffer.from(value).toString('base64') : value}`)
    case 'sha256': return bearerDigest(Buffer.from(value, 'hex'))
    default: return bearerDigest(sha256(value))
  }
}

function bearerDigest (digest: Buffer): Buffer {
  return createHash('sha256').update('bearer ').update(digest).digest()
}

function sha256 (text: string): Buffer {
  return createHash('sha256').update(text).digest()
}
