import { type AbortOptions, Block, HoldfastError, isErrorCode } from '@holdfast/core'
import type { CID } from 'multiformats/cid'
import { constants } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import type { Reference } from './reference-table.ts'

/** What became of the bytes that a reference is of; the words are those of `ipfs filestore verify`. */
export type ReferenceState = 'ok' | 'changed' | 'no-file' | 'error'

/** What a person can do about a reference whose bytes are not there. */
const REPAIR = 'Put the file back as it was, add it again, or let holdfast repo repair fetch what others have'

/**
 * Reads the bytes of a reference and checks them: the file is its owner's, who may do with it what he likes.
 *
 * A path that became a symlink, a device or a pipe is not followed nor waited for.
 *
 * @throws `CORRUPT` when the file has other bytes there, ends before, or is gone: whoever can, gets the block elsewhere. `UNAVAILABLE` when it cannot
 * be read. Each with `details.path`, `details.byteOffset` and `details.state`, a `ReferenceState`.
 */
export async function readReference (cid: CID, reference: Reference, { signal }: AbortOptions = {}): Promise<Block> {
  const { path, offset, byteLength } = reference
  signal?.throwIfAborted()
  try {
    const bytes = await readBytes(reference)
    signal?.throwIfAborted()
    if (bytes === undefined) throw failure('CORRUPT', { cid, reference, state: 'changed' }, `it ends before byte ${offset + byteLength}`)
    return await Block.verify(cid, bytes)
  } catch (cause) {
    signal?.throwIfAborted()
    if (isErrorCode(cause, 'CORRUPT')) throw cause.details['path'] === path ? cause : failure('CORRUPT', { cid, reference, state: 'changed', cause }, `the ${byteLength} bytes from ${offset} on are others now`)
    const errno = cause instanceof Error && 'code' in cause ? cause.code : undefined
    if (errno === 'ENOENT' || errno === 'ENOTDIR') throw failure('CORRUPT', { cid, reference, state: 'no-file', cause }, 'there is no such file')
    if (errno === 'ELOOP') throw failure('CORRUPT', { cid, reference, state: 'changed', cause }, 'it is a symlink now')
    const why = errno === 'EACCES' || errno === 'EPERM' ? 'permission denied' : errno === 'EMFILE' || errno === 'ENFILE' ? 'too many open files' : String(errno ?? cause)
    throw failure('UNAVAILABLE', { cid, reference, state: 'error', cause }, why)
  }
}

/** Opens a file that is referred to, or may be. */
export async function openReferred (path: string): Promise<FileHandle> {
  return await open(path, constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0))
}

/** `undefined` when the file has not so many, or is no regular file. */
async function readBytes ({ path, offset, byteLength }: Reference): Promise<Uint8Array | undefined> {
  await using file = await openReferred(path)
  if (!(await file.stat()).isFile()) return undefined
  const buffer = Buffer.allocUnsafeSlow(byteLength)
  for (let filled = 0; filled < byteLength;) {
    const { bytesRead } = await file.read(buffer, filled, byteLength - filled, offset + filled)
    if (bytesRead === 0) return undefined
    filled += bytesRead
  }
  return buffer
}

interface Circumstances {
  readonly cid: CID
  readonly reference: Reference
  readonly state: ReferenceState
  readonly cause?: unknown
}

function failure (code: 'CORRUPT' | 'UNAVAILABLE', { cid, reference: { path, offset, byteLength }, state, cause }: Circumstances, why: string): HoldfastError {
  return new HoldfastError(code, `Block ${cid} lies in ${path} at byte ${offset}, and cannot be read there: ${why}. ${REPAIR}`, { ...(cause === undefined ? {} : { cause }), cid: cid.toString(), path, byteOffset: offset, byteLength, state })
}
