import { ANY_ORIGIN, createRpcTokens, type RpcTokens } from '@holdfast/api'
import { HoldfastError, type Logger } from '@holdfast/core'
import { X509Certificate } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { BlockList, isIP } from 'node:net'
import { createSecureContext } from 'node:tls'
import type { Config } from '../config.ts'

/** How the RPC may be reached. */
export interface RpcAccess {
  /** Certificate and key in PEM; without them it speaks plain HTTP. */
  readonly tls?: { readonly cert: Buffer, readonly key: Buffer }
  readonly tokens?: RpcTokens
  /** Says whether a name that stands in `Host` is one of this node's. */
  isOwnName(name: string): boolean
  /** Further origins whose pages may call. */
  readonly allowedOrigins: readonly string[]
}

type RpcSettings = Pick<Config, 'rpcHost' | 'rpcTlsCert' | 'rpcTlsKey' | 'rpcTokens' | 'rpcAllowedOrigins' | 'rpcAllowedHosts'>

/**
 * Reads what guards the RPC.
 *
 * @throws `INVALID` when others could reach it without TLS or without a token, or when certificate and key cannot be used.
 */
export async function openRpcAccess ({ rpcHost, rpcTlsCert, rpcTlsKey, rpcTokens, rpcAllowedOrigins, rpcAllowedHosts }: RpcSettings, log: Logger): Promise<RpcAccess> {
  const tokens = Object.values(rpcTokens)
  if ((rpcTlsCert === '') !== (rpcTlsKey === '')) throw new HoldfastError('INVALID', 'Set both rpcTlsCert and rpcTlsKey, or neither')
  const missing = [...(rpcTlsCert === '' ? ['a certificate (rpcTlsCert and rpcTlsKey)'] : []), ...(tokens.length === 0 ? ['a token (rpcTokens)'] : [])]
  if (!isLoopback(rpcHost) && missing.length > 0) {
    throw new HoldfastError('INVALID', `The RPC does not listen on ${rpcHost} without ${missing.join(' and ')}: whoever reaches it controls the node. Or set rpcHost to 127.0.0.1`, { rpcHost })
  }
  const tls = rpcTlsCert === '' ? undefined : await readTls(rpcTlsCert, rpcTlsKey)
  const certificate = tls === undefined ? undefined : new X509Certificate(tls.cert)
  if (rpcAllowedOrigins.includes(ANY_ORIGIN) && tokens.length === 0) log.warn('Every web page that a browser on this machine shows can control this node: rpcAllowedOrigins has *, and there is no token (rpcTokens)')
  return {
    ...(tls === undefined ? {} : { tls }),
    ...(tokens.length === 0 ? {} : { tokens: createRpcTokens(tokens) }),
    isOwnName: (name) => rpcAllowedHosts.includes(name) || isNameOf(name, { rpcHost, certificate }),
    allowedOrigins: rpcAllowedOrigins
  }
}

const LOOPBACK = new BlockList()
LOOPBACK.addSubnet('127.0.0.0', 8, 'ipv4')
LOOPBACK.addAddress('::1', 'ipv6')

function isLoopback (host: string): boolean {
  return LOOPBACK.check(host, isIP(host) === 6 ? 'ipv6' : 'ipv4')
}

function isNameOf (name: string, { rpcHost, certificate }: { rpcHost: string, certificate: X509Certificate | undefined }): boolean {
  const bare = name.startsWith('[') ? name.slice(1, -1) : name
  if (bare === rpcHost) return true
  return certificate !== undefined && (isIP(bare) === 0 ? certificate.checkHost(bare) : certificate.checkIP(bare)) !== undefined
}

async function readTls (certPath: string, keyPath: string): Promise<{ cert: Buffer, key: Buffer }> {
  const [cert, key] = await Promise.all([readPem('rpcTlsCert', certPath), readPem('rpcTlsKey', keyPath)])
  try {
    createSecureContext({ cert, key })
  } catch (cause) {
    throw new HoldfastError('INVALID', `The certificate ${certPath} and the key ${keyPath} cannot be used: ${cause instanceof Error ? cause.message : String(cause)}`, { cause })
  }
  return { cert, key }
}

async function readPem (setting: string, path: string): Promise<Buffer> {
  try {
    return await readFile(path)
  } catch (cause) {
    throw new HoldfastError('INVALID', `Cannot read ${path} of ${setting}: ${cause instanceof Error && 'code' in cause ? String(cause.code) : String(cause)}`, { cause, path })
  }
}
