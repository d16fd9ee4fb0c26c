import { HoldfastError } from '@holdfast/core'
import { type DiskSourceOptions, openDiskSource } from './disk-source.ts'
import { parseIgnoreRules } from './ignore-rules.ts'
import type { ImportAttributes, ImportSource } from './source.ts'

/** What a person may say about what is read from the disk, named as the options of `ipfs add`. Plain values: they travel. */
export interface PathSourceOptions {
  /** Take directories with everything in them. @default false */
  readonly recursive?: boolean | undefined
  readonly hidden?: boolean | undefined
  /** Rules as in `.gitignore`, or whole files of them. */
  readonly ignore?: readonly string[] | undefined
  readonly dereference?: 'none' | 'path' | 'all' | undefined
  readonly preserveMode?: boolean | undefined
  readonly preserveMtime?: boolean | undefined
  /** Permission bits for every entry. */
  readonly mode?: number | undefined
  /** Time of modification for every entry, in whole seconds since 1970. */
  readonly mtimeSeconds?: number | undefined
  /** 0 to 999,999,999 on top of that. */
  readonly mtimeNanoseconds?: number | undefined
  /** Take a path that cannot be opened for an unreadable entry. @default false */
  readonly ignoreErrors?: boolean | undefined
}

/** Reports whether entries will have modes or times: then no leaf of a file can be raw. */
export function keepsAttributes ({ preserveMode, preserveMtime, mode, mtimeSeconds }: PathSourceOptions): boolean {
  return preserveMode === true || preserveMtime === true || mode !== undefined || mtimeSeconds !== undefined
}

/**
 * Returns what is set for every entry, whatever the disk says.
 *
 * @throws `INVALID` for a mode or time out of range, and for nanoseconds without seconds.
 */
export function setAttributes ({ mode, mtimeSeconds, mtimeNanoseconds }: PathSourceOptions): ImportAttributes {
  if (mode !== undefined && (!Number.isInteger(mode) || mode < 0 || mode > 0o7777)) throw new HoldfastError('INVALID', `The mode must be from 0 to 07777, not ${mode.toString(8)}`)
  if (mtimeSeconds === undefined) {
    if (mtimeNanoseconds !== undefined) throw new HoldfastError('INVALID', 'Nanoseconds alone are no time: --mtime-nsecs needs --mtime')
    return { mode }
  }
  const nanoseconds = mtimeNanoseconds ?? 0
  if (!Number.isSafeInteger(mtimeSeconds)) throw new HoldfastError('INVALID', `The mtime must be whole seconds since 1970, not ${mtimeSeconds}`)
  if (!Number.isInteger(nanoseconds) || nanoseconds < 0 || nanoseconds > 999_999_999) throw new HoldfastError('INVALID', `The mtime-nsecs must be from 0 to 999999999, not ${nanoseconds}`)
  return { mode, mtime: { seconds: BigInt(mtimeSeconds), nanoseconds } }
}

/**
 * Opens paths of this machine for import, in the order given.
 *
 * @throws `INVALID` for a directory without `recursive`, as `setAttributes` and `parseIgnoreRules`, and as `openDiskSource` unless errors are ignored.
 */
export async function openPathSources (paths: readonly string[], options: PathSourceOptions): Promise<ImportSource[]> {
  const { hidden, ignore = [], dereference, preserveMode, preserveMtime } = options
  const disk: DiskSourceOptions = { hidden, dereference, preserveMode, preserveMtime, attributes: setAttributes(options), ignore: ignore.length === 0 ? undefined : parseIgnoreRules(ignore) }
  const sources: ImportSource[] = []
  for (const path of paths) {
    const source = await openPath(path, disk, options)
    if (source.kind === 'directory' && options.recursive !== true) {
      throw new HoldfastError('INVALID', `Cannot add ${path}: it is a directory. Add it with everything in it by -r`, { path })
    }
    sources.push(source)
  }
  return sources
}

async function openPath (path: string, disk: DiskSourceOptions, { ignoreErrors }: PathSourceOptions): Promise<ImportSource> {
  try {
    return await openDiskSource(path, disk)
  } catch (reason) {
    if (ignoreErrors === true && reason instanceof HoldfastError) return { kind: 'unreadable', name: Buffer.from(path), reason }
    throw reason
  }
}
