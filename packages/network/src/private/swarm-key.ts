/**
 * The key of a private network, in the file that Kubo calls `swarm.key`:
 *
 * ```
 * /key/swarm/psk/1.0.0/
 * /base16/
 * 64 hexadecimal digits
 * ```
 *
 * go-libp2p also reads `/base64/` and 44 characters; we do too.
 *
 * @see https://github.com/libp2p/specs/blob/master/pnet/Private-Networks-PSK-V1.md
 */
import { createFile, HoldfastError, type Logger, silentLogger } from '@holdfast/core'
import { randomBytes } from 'node:crypto'
import { chmod, open } from 'node:fs/promises'

const HEADER = '/key/swarm/psk/1.0.0/'
const KEY_BYTES = 32

/** Bytes of the file that are read: the longest form has 76. */
const MAX_FILE_BYTES = 1024

const EXPECTED = `expected three lines: ${HEADER}, then /base16/, then 64 hexadecimal digits`

/**
 * Reads the swarm key at `path`; `undefined` when there is none. A file that others can read is closed to them.
 *
 * @throws `INVALID` when it is no swarm key; `UNAVAILABLE` when it cannot be read.
 */
export async function openSwarmKey (path: string, { log = silentLogger }: { log?: Logger | undefined } = {}): Promise<Uint8Array | undefined> {
  try {
    await using file = await open(path, 'r')
    const { mode } = await file.stat()
    if (process.platform !== 'win32' && (mode & 0o077) !== 0) {
      log.warn('The swarm key could be read by other users; its mode was corrected', { path, mode: (mode & 0o777).toString(8) })
      await chmod(path, 0o600)
    }
    const { bytesRead, buffer } = await file.read(Buffer.alloc(MAX_FILE_BYTES + 1), 0, MAX_FILE_BYTES + 1, 0)
    const bytes = buffer.subarray(0, bytesRead)
    parseSwarmKey(bytes, path)
    return bytes
  } catch (cause) {
    if (cause instanceof HoldfastError) throw cause
    if (errnoOf(cause) === 'ENOENT') return undefined
    throw new HoldfastError('UNAVAILABLE', `Cannot read the swarm key ${path}: ${errnoOf(cause)}`, { cause, path })
  }
}

/**
 * Reads a swarm key that has to be there.
 *
 * @throws as `openSwarmKey`; `NOT_FOUND` when there is none.
 */
export async function readSwarmKey (path: string): Promise<Uint8Array> {
  const bytes = await openSwarmKey(path)
  if (bytes === undefined) throw new HoldfastError('NOT_FOUND', `There is no swarm key ${path}`, { path })
  return bytes
}

/**
 * Writes a swarm key where there is none. It is durable when this resolves, and only its owner can read it.
 *
 * @throws `INVALID` when there is one: nodes that have it would be cut off.
 */
export async function writeSwarmKey (path: string, bytes: Uint8Array): Promise<void> {
  let isNew: boolean
  try {
    isNew = await createFile(path, bytes)
  } catch (cause) {
    throw new HoldfastError('UNAVAILABLE', `Cannot write the swarm key ${path}: ${errnoOf(cause)}`, { cause, path })
  }
  if (!isNew) throw new HoldfastError('INVALID', `${path} is there already; remove it first to join another network`, { path })
}

/** Makes the text of a new swarm key. */
export function newSwarmKey (): Uint8Array {
  return new TextEncoder().encode(`${HEADER}\n/base16/\n${randomBytes(KEY_BYTES).toString('hex')}\n`)
}

/**
 * Reads the 32 bytes of the key out of the bytes of the file.
 *
 * @param name What holds the key, for the message.
 * @throws `INVALID` that says what was found, never the key itself.
 */
export function parseSwarmKey (bytes: Uint8Array, name: string): Uint8Array {
  const invalid = (found: string): HoldfastError => new HoldfastError('INVALID', `${name} is no swarm key: ${found}; ${EXPECTED}`, { name })
  if (bytes.byteLength > MAX_FILE_BYTES) throw invalid(`it has more than ${MAX_FILE_BYTES} bytes`)
  const [header = '', encoding = '', digits = '', ...rest] = Buffer.from(bytes).toString('latin1').trimEnd().split(/\r\n|\r|\n/)
  if (header !== HEADER) throw invalid(header === '' ? 'it is empty' : `its first line is another one, of ${header.length} characters`)
  if (rest.length > 0) throw invalid(`it has ${3 + rest.length} lines`)
  if (encoding === '/base16/') {
    if (!/^[\da-f]*$/i.test(digits)) throw invalid('its third line holds something else than hexadecimal digits')
    if (digits.length !== 2 * KEY_BYTES) throw invalid(`its third line has ${digits.length} digits`)
    return Buffer.from(digits, 'hex')
  }
  if (encoding === '/base64/') {
    const key = Buffer.from(digits, 'base64')
    if (!/^[\w+/]*={0,2}$/.test(digits) || key.toString('base64') !== digits) throw invalid('its third line is not base64')
    if (key.byteLength !== KEY_BYTES) throw invalid(`its third line stands for ${key.byteLength} bytes`)
    return key
  }
  throw invalid(encoding === '' ? 'it has one line' : `its second line is another one, of ${encoding.length} characters`)
}

function errnoOf (cause: unknown): string {
  return cause instanceof Error && 'code' in cause ? String(cause.code) : String(cause)
}
