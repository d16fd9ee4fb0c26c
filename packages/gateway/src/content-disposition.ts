/**
 * The `Content-Disposition` response header.
 *
 * @see RFC 6266 §4.3 (filename), RFC 8187 §3.2 (filename*)
 */
import { encodeStrictly } from './content-path.ts'

/** Longest file name that common file systems take, in characters; more is cut off. */
const MAX_FILENAME_CHARACTERS = 255

/**
 * Prints the header with an ASCII name for old clients and the true name beside it.
 *
 * Characters that could end the quoted string, the header or a folder name are replaced: the name comes from the query.
 */
export function contentDisposition (type: 'inline' | 'attachment', filename: string): string {
  const name = [...filename.toWellFormed()].slice(0, MAX_FILENAME_CHARACTERS).join('').replace(/\p{Cc}/gu, '').replace(/[/\\]/g, '_')
  const ascii = name.replace(/[^\x20-\x7e]/gu, '_').replaceAll('"', '_')
  return `${type}; filename="${ascii}"; filename*=UTF-8''${encodeStrictly(name)}`
}
