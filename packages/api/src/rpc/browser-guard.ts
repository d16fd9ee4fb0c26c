/**
 * Who may speak to the RPC: not the pages that a browser on this machine shows.
 *
 * A page of another origin can send requests to 127.0.0.1, and a page whose name was pointed at 127.0.0.1 (DNS rebinding)
 * can read the answers too. Programs send neither `Origin` nor `Referer`.
 *
 * @see go-ipfs-cmds http/handler.go, kubo core/corehttp/commands.go
 */
import type { IncomingHttpHeaders } from 'node:http'
import { EXPOSED_HEADERS } from './rpc-reply.ts'
import { refuse } from './rpc-failure.ts'

/** The extensions that IPFS Companion is known by. */
const COMPANION_ORIGINS: ReadonlySet<string> = new Set([
  'chrome-extension://nibjojkomfdiaoajekhjakgkdhaomnch',
  'chrome-extension://hjoieblefckbooibpepigmacodalfndh'
])

/** Names by which this machine calls itself. */
const LOOPBACK_NAMES: readonly string[] = ['127.0.0.1', '[::1]', 'localhost']

export interface BrowserGuardOptions {
  /** The port that origins of our own pages have. */
  readonly port: () => number
  /** Says which other names may stand in `Host`: those of the certificate, when there is one. @default none */
  readonly isOwnName?: ((name: string) => boolean) | undefined
  /** Further origins whose pages may call, as browsers write them; `*` is every page of every site. @default none */
  readonly allowedOrigins?: readonly string[] | undefined
}

/** Stands among the allowed origins for every origin. */
export const ANY_ORIGIN = '*'

/** Decides about requests by their headers alone. */
export interface BrowserGuard {
  /** @throws a refusal with 403. */
  admit(method: string, headers: IncomingHttpHeaders): void
  /** The headers that let the scripts of an allowed origin read the answer; none for others. */
  corsHeaders(headers: IncomingHttpHeaders): Readonly<Record<string, string>>
  /** The headers that answer a preflight. */
  preflightHeaders(headers: IncomingHttpHeaders): Readonly<Record<string, string>>
}

/** Builds the guard of one listener. */
export function createBrowserGuard ({ port, isOwnName = () => false, allowedOrigins = [] }: BrowserGuardOptions): BrowserGuard {
  const further = new Set(allowedOrigins)
  const isAllowedOrigin = (origin: string): boolean => COMPANION_ORIGINS.has(origin) || further.has(origin) || further.has(ANY_ORIGIN) ||
    LOOPBACK_NAMES.some((name) => origin === `http://${name}:${port()}` || origin === `https://${name}:${port()}`)
  const corsHeaders = ({ origin }: IncomingHttpHeaders): Record<string, string> => ({
    vary: 'Origin',
    ...(origin !== undefined && isAllowedOrigin(origin) ? { 'access-control-allow-origin': origin } : {})
  })
  return {
    admit (method, headers) {
      if (!isAllowedHost(headers.host, isOwnName)) throw refuse(403, '403 - Forbidden: this Host is not one of the node')
      if (headers.origin !== undefined && headers.origin !== '' && !isAllowedOrigin(headers.origin)) throw forbidden()
      if (headers.referer !== undefined && headers.referer !== '' && !isAllowedOrigin(originOf(headers.referer))) throw forbidden()
      if (isNamelessBrowser(method, headers)) throw forbidden()
    },
    corsHeaders,
    preflightHeaders: (headers) => ({
      ...corsHeaders(headers),
      allow: 'OPTIONS, POST',
      ...(isAllowedOrigin(headers.origin ?? '')
        ? {
            'access-control-allow-methods': 'POST',
            'access-control-allow-headers': 'Origin, Accept, Authorization, Content-Type, X-Requested-With',
            'access-control-expose-headers': EXPOSED_HEADERS,
            // Sites that are not on this machine ask for this too. @see https://wicg.github.io/private-network-access/
            ...(headers['access-control-request-private-network'] === 'true' ? { 'access-control-allow-private-network': 'true' } : {})
          }
        : {})
    })
  }
}

/** The port does not matter: a tunnel or a container may map it. The name is what an attacker's page cannot choose. */
function isAllowedHost (host: string | undefined, isOwnName: (name: string) => boolean): boolean {
  const name = /^(\[[0-9a-f:.]{2,45}\]|[a-z0-9.-]{1,253})(?::\d{1,5})?$/i.exec(host ?? '')?.[1]?.toLowerCase()
  return name !== undefined && (LOOPBACK_NAMES.includes(name) || isOwnName(name))
}

/**
 * Browsers name their page when they post; one that does not was told to hide it. Electron's own pages have no name.
 *
 * Beyond Kubo: a browser that says that the request comes from another site is refused for every method.
 */
function isNamelessBrowser (method: string, { origin = '', referer = '', 'user-agent': agent = '', 'sec-fetch-site': site }: IncomingHttpHeaders): boolean {
  if (origin !== '' || referer !== '' || agent.includes('Electron')) return false
  return (method === 'POST' && agent.startsWith('Mozilla')) || site === 'cross-site' || site === 'same-site'
}

/** Scheme and authority of a URL. `URL.origin` will not do: it is `null` for extensions. */
function originOf (referer: string): string {
  return /^[a-z][a-z0-9+.-]*:\/\/[^/?#]*/i.exec(referer)?.[0] ?? referer
}

function forbidden (): Error {
  return refuse(403, '403 - Forbidden')
}
