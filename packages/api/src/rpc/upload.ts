import { HoldfastError } from '@holdfast/core'
import type { ImportAttributes } from '@holdfast/dag'
import { boundaryOf, parseMultipart } from './multipart.ts'

/** Longest target of a symlink in bytes: PATH_MAX of Linux. */
const MAX_TARGET_BYTES = 4096

/** Latest time in seconds that is taken: what UnixFS writes and every platform reads back without loss. */
const MAX_MTIME_SECONDS: bigint = 2n ** 53n

/** One thing that a client uploads. */
export type UploadedPart = { readonly path: readonly string[], readonly attributes: ImportAttributes } & (
  | { readonly kind: 'file', readonly content: AsyncIterable<Uint8Array> }
  | { readonly kind: 'directory' }
  | { readonly kind: 'symlink', readonly target: Uint8Array }
)

/**
 * Reads the parts of an upload as Kubo's clients write them: the path, query-escaped, as `filename`; what it is as
 * `Content-Type`; mode and mtime as a query behind the name of the field.
 *
 * A part must be read, or left, before the next is asked for.
 *
 * @throws as `parseMultipart`; `LIMIT` for the target of a symlink that is too long.
 * @see boxo files/multifilereader.go
 */
export async function * uploadedParts (contentType: string, body: AsyncIterable<Uint8Array>): AsyncGenerator<UploadedPart, void, undefined> {
  for await (const { headers, content } of parseMultipart(body, boundaryOf(contentType))) {
    const { name = '', filename = '' } = parametersOf(headers.get('content-disposition') ?? '')
    const common = { path: queryUnescape(filename).split('/'), attributes: attributesOf(name) }
    switch ((headers.get('content-type') ?? '').split(';', 1)[0]?.trim().toLowerCase()) {
      case 'application/x-directory':
      case 'multipart/form-data': yield { ...common, kind: 'directory' }; break
      case 'application/symlink': yield { ...common, kind: 'symlink', target: await targetOf(content) }; break
      default: yield { ...common, kind: 'file', content }
    }
  }
}

/** The parameters of a `Content-Disposition`, by lower-case name; the first of two with one name counts. */
function parametersOf (disposition: string): { readonly name?: string, readonly filename?: string } {
  const parameters: { name?: string, filename?: string } = {}
  for (const [, key = '', quoted, plain = ''] of disposition.matchAll(/;\s*([a-z*]+)=(?:"((?:[^"\\]|\\.)*)"|([^\s;"]*))/gi)) {
    const value = quoted === undefined ? plain : quoted.replaceAll(/\\(["\\])/g, '$1')
    if (key.toLowerCase() === 'name') parameters.name ??= value
    if (key.toLowerCase() === 'filename') parameters.filename ??= value
  }
  return parameters
}

/** Undoes query escaping: `+` and `%20` are spaces. A name that is not escaped is taken as it is. */
function queryUnescape (text: string): string {
  try {
    return decodeURIComponent(text.replaceAll('+', '%20'))
  } catch {
    return text
  }
}

/** Reads `file?mode=0644&mtime=1&mtime-nsecs=2`; a value that is no number is passed over, as Kubo does. */
function attributesOf (fieldName: string): ImportAttributes {
  const query = new URLSearchParams(fieldName.split('?').slice(1).join('?'))
  return {
    ...parseMode(query.get('mode')),
    ...parseMtime(query.get('mtime'), query.get('mtime-nsecs'))
  }
}

/** Reads permission bits in octal. */
export function parseMode (text: string | null): ImportAttributes {
  return text !== null && /^0?[0-7]{1,6}$/.test(text) ? { mode: Number.parseInt(text, 8) & 0o7777 } : {}
}

/** Reads a time: whole seconds since 1970, which may be negative, and nanoseconds. */
export function parseMtime (seconds: string | null, nanoseconds: string | null = null): ImportAttributes {
  if (seconds === null || !/^-?\d{1,16}$/.test(seconds)) return {}
  const whole = BigInt(seconds)
  if (whole > MAX_MTIME_SECONDS || whole < -MAX_MTIME_SECONDS) return {}
  return { mtime: { seconds: whole, nanoseconds: nanoseconds !== null && /^\d{1,9}$/.test(nanoseconds) ? Number(nanoseconds) : 0 } }
}

async function targetOf (content: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const pieces: Uint8Array[] = []
  let byteLength = 0
  for await (const piece of content) {
    byteLength += piece.byteLength
    if (byteLength > MAX_TARGET_BYTES) throw new HoldfastError('LIMIT', `The target of a symlink is longer than ${MAX_TARGET_BYTES} bytes`)
    pieces.push(piece)
  }
  return Buffer.concat(pieces)
}
