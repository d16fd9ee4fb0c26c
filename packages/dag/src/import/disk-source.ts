import { type AbortOptions, HoldfastError } from '@holdfast/core'
import type { BigIntStats, Stats } from 'node:fs'
import { isUtf8 } from 'node:buffer'
import { lstat, opendir, readlink, realpath } from 'node:fs/promises'
import { basename, posix, resolve, sep } from 'node:path'
import type { UnixFsTime } from '../unixfs.ts'
import { onPath, readRegularFile, textOf } from './disk-file.ts'
import type { IgnoreRules } from './ignore-rules.ts'
import type { ImportAttributes, ImportSource } from './source.ts'

export interface DiskSourceOptions {
  /** Include entries whose name begins with a dot. The path itself is always included. @default false */
  hidden?: boolean | undefined
  /** Entries below the path that are left out. */
  ignore?: IgnoreRules | undefined
  /** Follow symlinks: only the path itself, or wherever there is one. @default 'none' */
  dereference?: 'none' | 'path' | 'all' | undefined
  /** Keep the permission bits of files and directories. @default false */
  preserveMode?: boolean | undefined
  /** Keep times of modification. @default false */
  preserveMtime?: boolean | undefined
  /** What every entry gets, whatever the disk says. */
  attributes?: ImportAttributes | undefined
  /** Name of the entry. @default the last part of the path */
  name?: string | undefined
}

/**
 * Opens a path of this machine for import: a regular file, a directory with everything below it, or
 * a symlink, which stays a symlink unless it is followed.
 *
 * @throws `NOT_FOUND` when nothing is there, `INVALID` for devices, sockets, pipes and symlinks that lead in a circle,
 * `UNAVAILABLE` for what cannot be read. Entries below a directory come as unreadable instead.
 */
export async function openDiskSource (path: string, options: DiskSourceOptions = {}): Promise<ImportSource> {
  const absolute = resolve(path)
  const name = Buffer.from(options.name ?? basename(absolute))
  const place = { path: Buffer.from(absolute), name, below: '', ancestors: [] }
  return await openSource(options.dereference === 'path' ? await followed(place) : place, options)
}

/** Where an entry lies. */
interface Place {
  readonly path: Buffer
  readonly name: Buffer
  /** Path from where the import began, `''` there and without rules that need it. */
  readonly below: string
  /** Directories on the way here, as `device:inode`; only when symlinks are followed. */
  readonly ancestors: readonly string[]
}

async function openSource (given: Place, options: DiskSourceOptions): Promise<ImportSource> {
  const place = options.dereference === 'all' ? await followed(given) : given
  const { path } = place
  // Nanoseconds, and inodes of every file system, need big integers; most imports need neither.
  const isExact = options.preserveMtime === true || options.dereference === 'all'
  const stats = await onPath<Stats | BigIntStats>(path, isExact ? lstat(path, { bigint: true }) : lstat(path))
  const inside = stats.isDirectory() && options.dereference === 'all' ? withAncestor(place, `${stats.dev}:${stats.ino}`) : place
  return await sourceOf(inside, stats, attributesOf(stats, options), options)
}

/** Whatever says of what kind an entry is. */
type Kind = Pick<Stats, 'isFile' | 'isDirectory' | 'isSymbolicLink'>

async function sourceOf (place: Place, kind: Kind, attributes: ImportAttributes, options: DiskSourceOptions): Promise<ImportSource> {
  const { path, name } = place
  if (kind.isFile()) return { kind: 'file', name, attributes, path, open: (signal, buffers) => readRegularFile(path, { signal, buffers }) }
  if (kind.isDirectory()) return { kind: 'directory', name, attributes, entries: (signal) => readEntries(place, options, { signal }) }
  if (kind.isSymbolicLink()) return { kind: 'symlink', name, attributes: { mtime: attributes.mtime }, target: await onPath(path, readlink(path, { encoding: 'buffer' })) }
  throw new HoldfastError('INVALID', `Cannot add ${textOf(path)}: it is not a regular file, a directory or a symlink`, { path: textOf(path) })
}

/** The same entry with its symlinks followed: what is opened later is what was looked at now. */
async function followed (place: Place): Promise<Place> {
  return { ...place, path: await onPath(place.path, realpath(place.path, { encoding: 'buffer' })) }
}

function withAncestor (place: Place, id: string): Place {
  if (place.ancestors.includes(id)) {
    throw new HoldfastError('INVALID', `Cannot add ${textOf(place.path)}: a symlink leads back to it from within. Add it without following symlinks`, { path: textOf(place.path) })
  }
  return { ...place, ancestors: [...place.ancestors, id] }
}

async function * readEntries (place: Place, options: DiskSourceOptions, { signal }: AbortOptions): AsyncIterable<ImportSource> {
  const isIgnored = options.ignore?.inDirectory(place.below)
  for await (const { name, kind } of listed(place.path)) {
    signal?.throwIfAborted()
    if (name[0] === DOT && options.hidden !== true) continue
    const below = isIgnored === undefined ? '' : posix.join(place.below, textOf(name))
    const source = await openEntry({ ...place, path: Buffer.concat([place.path, SEPARATOR, name]), name, below }, kind, options)
    if (isIgnored?.(textOf(name), source.kind === 'directory') !== true) yield source
  }
}

/** Entries of a directory that are listed and sorted at once: of a longer one each run is in order, and no more is held. */
const ENTRIES_PER_RUN = 4096

/** Entries that one call of the system brings. */
const ENTRIES_PER_READ = 256

interface ListedEntry {
  readonly name: Buffer
  readonly kind: Kind
}

async function * listed (path: Buffer): AsyncGenerator<ListedEntry> {
  // The types know nothing of names as bytes; those that come are looked at below.
  const directory = await onPath(path, opendir(path, { encoding: 'buffer' as BufferEncoding, bufferSize: ENTRIES_PER_READ }))
  try {
    for (let isLast = false; !isLast;) {
      const run: ListedEntry[] = []
      while (run.length < ENTRIES_PER_RUN && !isLast) {
        const kind = await onPath(path, directory.read())
        isLast = kind === null
        if (kind !== null) run.push({ name: Buffer.isBuffer(kind.name) ? kind.name : Buffer.from(kind.name), kind })
      }
      yield * run.sort((a, b) => Buffer.compare(a.name, b.name))
    }
  } finally {
    await directory.close()
  }
}

/** Opens an entry of a directory; a failure is that of the entry alone. */
async function openEntry (place: Place, kind: Kind, options: DiskSourceOptions): Promise<ImportSource> {
  try {
    if (!isUtf8(place.name)) throw new HoldfastError('INVALID', `Cannot add ${textOf(place.path)}: its name is not UTF-8. Rename it`, { path: textOf(place.path) })
    return isToldByName(kind, options) ? await sourceOf(place, kind, options.attributes ?? {}, options) : await openSource(place, options)
  } catch (reason) {
    if (reason instanceof HoldfastError) return { kind: 'unreadable', name: place.name, reason }
    throw reason
  }
}

/** Whether the listing of its directory says all that is wanted of an entry. Some file systems do not tell the kind there. */
function isToldByName (kind: Kind, { dereference, preserveMode, preserveMtime }: DiskSourceOptions): boolean {
  return dereference !== 'all' && preserveMode !== true && preserveMtime !== true && (kind.isFile() || kind.isDirectory() || kind.isSymbolicLink())
}

const DOT = 0x2e
const SEPARATOR = Buffer.from(sep)

function attributesOf (stats: Stats | BigIntStats, { preserveMode = false, preserveMtime = false, attributes = {} }: DiskSourceOptions): ImportAttributes {
  return {
    mode: attributes.mode ?? (preserveMode ? Number(stats.mode) & 0o7777 : undefined),
    mtime: attributes.mtime ?? (preserveMtime && 'mtimeNs' in stats ? timeOf(stats.mtimeNs) : undefined)
  }
}

const SECOND = 1_000_000_000n

/** Before 1970 the seconds are negative and the nanoseconds still count forward. */
function timeOf (nanoseconds: bigint): UnixFsTime {
  const fraction = ((nanoseconds % SECOND) + SECOND) % SECOND
  return { seconds: (nanoseconds - fraction) / SECOND, nanoseconds: Number(fraction) }
}

