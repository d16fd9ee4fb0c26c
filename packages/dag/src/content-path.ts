import { HoldfastError, parseCid } from '@holdfast/core'
import type { CID } from 'multiformats/cid'

/** Longest content path in bytes. */
export const MAX_PATH_BYTES: number = 8 * 1024

/** A root and the names to follow from it. */
export interface ContentPath {
  readonly root: CID
  readonly segments: readonly string[]
}

/**
 * Reads what people type for content: `CID`, `CID/a/b`, `/ipfs/CID/a/b` or `ipfs://CID/a/b`.
 *
 * Empty segments are passed over; `.` and `..` are resolved inside the path and never leave the root. Only
 * the URL form is percent-decoded, once.
 *
 * @throws `INVALID` for anything else, `UNSUPPORTED` for names of `/ipns`, which need a network.
 */
export function parseContentPath (text: string): ContentPath {
  if (Buffer.byteLength(text) > MAX_PATH_BYTES) throw new HoldfastError('INVALID', `Path is longer than ${MAX_PATH_BYTES} bytes`)
  if (text.includes('\0')) throw new HoldfastError('INVALID', 'Path contains a NUL character')
  const isUrl = /^ipfs:\/\//i.test(text)
  if (/^(ipns:\/\/|\/ipns\/)/i.test(text)) throw new HoldfastError('UNSUPPORTED', `Names are not resolved yet: ${text}`, { path: text })

  const [root = '', ...rest] = text.replace(/^(ipfs:\/\/|\/ipfs\/)/i, '').split('/')
  return { root: parseCid(root), segments: normalize(isUrl ? rest.map((segment) => decode(segment, text)) : rest) }
}

/** Drops empty and `.` segments and lets `..` take back the one before it. */
export function normalize (segments: readonly string[]): string[] {
  const kept: string[] = []
  for (const segment of segments) {
    if (segment === '..') kept.pop()
    else if (segment !== '' && segment !== '.') kept.push(segment)
  }
  return kept
}

function decode (segment: string, text: string): string {
  try {
    return decodeURIComponent(segment)
  } catch (cause) {
    throw new HoldfastError('INVALID', `Path is not valid percent-encoding: ${text}`, { cause, path: text })
  }
}
