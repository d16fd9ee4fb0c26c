import { isHoldfastError } from '@holdfast/core'
import { STATUS_CODES } from 'node:http'
import { parseAccept } from './accept.ts'
import { bytesBody, type GatewayRequest, type GatewayResponse, type Header, headerOf } from './exchange.ts'
import { CORS_HEADERS, NOSNIFF, PAGE_POLICY } from './headers.ts'
import { escapeHtml, PAGE_FOOT, pageHead } from './html.ts'
import { httpStatusOf } from './http-status.ts'

/** Longest message that is shown: it may quote the request. */
const MAX_MESSAGE_CHARACTERS = 1_000

/** Seconds after which a request that failed for lack of time or room is worth another try (boxo). */
const RETRY_AFTER_SECONDS = 60

/** What a failure looks like to the client. */
interface Failure {
  readonly status: number
  readonly code: string
  readonly message: string
  readonly tip: string | undefined
  readonly headers: readonly Header[]
}

/** Returns the status that a failure is answered with: its own, or the one of its code; 500 for what nobody foresaw. */
export function statusOf (err: unknown): number {
  if (!isHoldfastError(err)) return 500
  const { httpStatus } = err.details
  return typeof httpStatus === 'number' && Number.isInteger(httpStatus) && httpStatus >= 400 && httpStatus <= 599 ? httpStatus : httpStatusOf(err.code)
}

/**
 * Answers a failure in text, or as a page when a person looks: what could not be done and what to try.
 *
 * Never shows a stack, nor the words of a failure that was not meant for the client.
 */
export function errorResponse (request: GatewayRequest, err: unknown, headers: readonly Header[] = CORS_HEADERS): GatewayResponse {
  const failure = describe(err)
  const asPage = wantsPage(request)
  const text = asPage ? errorPage(failure) : `${failure.message}\n${failure.tip === undefined ? '' : `${failure.tip}\n`}`
  const body = bytesBody(Buffer.from(text))
  return {
    status: failure.status,
    headers: [
      ...headers,
      ...failure.headers,
      ['Content-Type', asPage ? 'text/html; charset=utf-8' : 'text/plain; charset=utf-8'],
      ['Content-Length', String(body.byteLength)],
      // Content that is missing now may be here in a minute, and 404 is cached by default (RFC 9110 §15.1).
      ['Cache-Control', 'no-store'],
      ['X-Error-Code', failure.code],
      NOSNIFF,
      ...(asPage ? [PAGE_POLICY] : [])
    ],
    body: request.method === 'HEAD' ? undefined : body
  }
}

function describe (err: unknown): Failure {
  const status = statusOf(err)
  const retry: Header[] = [429, 502, 503, 504].includes(status) ? [['Retry-After', String(RETRY_AFTER_SECONDS)]] : []
  // A medium that failed describes itself with paths of this machine; only what the gateway wrote itself is shown.
  if (!isHoldfastError(err) || (err.code === 'UNAVAILABLE' && err.details.httpStatus === undefined)) {
    const message = status === 503 ? 'Content could not be read: a disk or a peer did not answer' : 'The gateway could not answer: it met a fault of its own'
    return { status, code: isHoldfastError(err) ? err.code : 'INTERNAL', message, tip: 'Try again; if it stays, tell whoever runs this gateway.', headers: retry }
  }
  const { tip = tipFor(err.details.reason), headers } = err.details
  return {
    status,
    code: err.code,
    message: clip(err.message),
    tip: typeof tip === 'string' ? tip : undefined,
    headers: [...retry, ...(Array.isArray(headers) ? headers.filter(isHeader) : [])]
  }
}

function isHeader (value: unknown): value is Header {
  return Array.isArray(value) && value.length === 2 && value.every((part) => typeof part === 'string')
}

/** Advice for the failures of path resolution, which do not know that they are answered over HTTP. */
function tipFor (reason: unknown): string | undefined {
  if (reason === 'no-link') return 'Check the spelling: names tell upper from lower case. The directory above it shows what is there.'
  if (reason === 'no-block') return 'This gateway serves what its node holds. Import or pin the content there, or ask a gateway that has it.'
  return undefined
}

function clip (message: string): string {
  return message.length > MAX_MESSAGE_CHARACTERS ? `${message.slice(0, MAX_MESSAGE_CHARACTERS)}…` : message
}

function wantsPage (request: GatewayRequest): boolean {
  const accept = headerOf(request, 'accept') ?? ''
  return accept.includes('text/html') && parseAccept(accept).some(({ type, quality }) => type === 'text/html' && quality > 0)
}

function errorPage ({ status, message, tip }: Failure): string {
  const title = `${status} ${STATUS_CODES[status] ?? 'Error'}`
  return `${pageHead(title)}<h1>${escapeHtml(title)}</h1>
<p class="panel">${escapeHtml(message)}</p>
${tip === undefined ? '' : `<p class="muted">${escapeHtml(tip)}</p>\n`}${PAGE_FOOT}`
}
