import { HoldfastError } from '@holdfast/core'
import { once } from 'node:events'
import { createServer, type RequestListener, type Server, type ServerOptions } from 'node:http'
import { createServer as createTlsServer, type Server as TlsServer } from 'node:https'
import { portHolder } from './port-holder.ts'

/** How long open requests may go on once the server stops, in milliseconds; Ctrl-C promises 5 s for everything. */
export const DRAIN_MS = 2000

/** A server that answers. Disposing it stops new connections, gives open ones `DRAIN_MS` and then ends them. */
export interface Listening extends AsyncDisposable {
  readonly server: Server | TlsServer
  /** The port that was taken; 0 for a socket path. */
  readonly port: number
}

export interface ListenOptions {
  readonly listener: RequestListener
  /** What listens, for messages: `gateway`. */
  readonly name: string
  /** The setting that names the port, for messages. */
  readonly setting?: string
  readonly at: { readonly host: string, readonly port: number } | { readonly path: string }
  readonly server?: ServerOptions
  /** Certificate and key in PEM; with them the server speaks HTTPS. */
  readonly tls?: { readonly cert: Buffer, readonly key: Buffer } | undefined
}

/** How long a TLS handshake may take, in milliseconds: as long as headers may. */
const HANDSHAKE_MS: number = 20 * 1000

/**
 * Starts an HTTP server.
 *
 * @throws `UNAVAILABLE` that names who holds the port, where the system tells, and the setting that changes it.
 */
export async function listen ({ listener, name, setting, at, server: options = {}, tls }: ListenOptions): Promise<Listening> {
  const server = tls === undefined ? createServer(options, listener) : createTlsServer({ ...options, ...tls, handshakeTimeout: HANDSHAKE_MS }, listener)
  server.listen(at)
  try {
    await once(server, 'listening')
  } catch (cause) {
    throw await explain(cause, { name, setting, at })
  }
  const address = server.address()
  return {
    server,
    port: typeof address === 'object' && address !== null ? address.port : 0,
    [Symbol.asyncDispose]: () => close(server)
  }
}

async function close (server: Server | TlsServer): Promise<void> {
  const closed = once(server, 'close')
  server.close()
  server.closeIdleConnections()
  const deadline = setTimeout(() => { server.closeAllConnections() }, DRAIN_MS)
  await closed
  clearTimeout(deadline)
}

async function explain (cause: unknown, { name, setting, at }: Pick<ListenOptions, 'name' | 'setting' | 'at'>): Promise<HoldfastError> {
  const errno = cause instanceof Error && 'code' in cause ? cause.code : undefined
  if ('path' in at) return new HoldfastError('UNAVAILABLE', `The ${name} cannot listen at ${at.path}: ${String(errno)}`, { cause, ...at })
  const change = setting === undefined ? '' : `. Choose another with --${setting}, or 0 for any free port`
  if (errno === 'EADDRINUSE') {
    const holder = await portHolder(at.port)
    return new HoldfastError('UNAVAILABLE', `Port ${at.port} of the ${name} is taken${holder === undefined ? '' : ` by ${holder}`}${change}`, { cause, ...at })
  }
  const why = errno === 'EACCES' ? 'this user may not use that port' : errno === 'EADDRNOTAVAIL' ? 'this machine has no such address' : String(errno)
  return new HoldfastError('UNAVAILABLE', `The ${name} cannot listen on ${at.host}:${at.port}: ${why}${change}`, { cause, ...at })
}
