import { type AbortOptions, HoldfastError } from '@holdfast/core'
import { constants } from 'node:fs'
import { chmod, type FileHandle, lstat, lutimes, mkdir, open, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { MAX_PATH_SEGMENTS } from '../resolve.ts'
import type { TreeEntry } from '../tree-entry.ts'
import { errnoOf, onDisk, unless } from './disk-error.ts'
import { leavesTree, requireDiskName } from './disk-name.ts'
import { setAttributes, setTime } from './entry-attributes.ts'
import { quoted, requireLength, wrongLength } from './entry-checks.ts'
import { keptByteLength } from './kept-file.ts'

/** What each entry counts at least against the quota, in bytes: an inode of ext4, so that empty entries end too. */
export const ENTRY_BYTES = 256

/** Memory for symlinks and directory attributes, which are written last: some 200,000 of them. */
export const MAX_DEFERRED_BYTES: number = 64 * 1024 * 1024

/** What an entry that is written last costs beside its text. */
const DEFERRED_OVERHEAD_BYTES = 256

/** What each name of its path costs beside its text. */
const NAME_OVERHEAD_BYTES = 32

type FileEntry = Extract<TreeEntry, { kind: 'file' }>
type DirectoryEntry = Extract<TreeEntry, { kind: 'directory' }>
type SymlinkEntry = Extract<TreeEntry, { kind: 'symlink' }>

/** What was written so far. */
export interface WriteCounts {
  readonly fileCount: number
  /** Bytes of the content of files. */
  readonly byteLength: number
  /** Those of them that were there from an interrupted run, and are right. */
  readonly keptByteLength: number
}

export interface TreeWriterOptions extends AbortOptions {
  /** Most bytes of content to write; entries count at least `ENTRY_BYTES`. */
  readonly maxBytes: number
  readonly allowOutsideSymlinks: boolean
  /** Whether `root` holds the beginning of the same tree, from a run that was interrupted. Symlinks must be gone from it. */
  readonly resume: boolean
  readonly onProgress: (event: WriteCounts) => void
}

/**
 * Writes a tree at `root`, in a folder that nobody else writes to.
 *
 * Every name is checked, every file and directory is created anew, and no symlink exists before the last file is
 * written, so nothing can be followed out of `root`.
 */
export class TreeWriter {
  readonly #root: string
  readonly #options: TreeWriterOptions
  readonly #symlinks: SymlinkEntry[] = []
  readonly #directories: TreeEntry[] = []
  #fileCount = 0
  #byteLength = 0
  #keptByteLength = 0
  /** Until the first entry that is not there: what comes behind it is new. */
  #isResuming: boolean
  #chargedBytes = 0
  #deferredBytes = 0
  /** The directory that was last found to be one, with all above it. */
  #checkedParent: string | undefined

  constructor (root: string, options: TreeWriterOptions) {
    this.#root = root
    this.#options = options
    this.#isResuming = options.resume
  }

  get counts (): WriteCounts {
    return { fileCount: this.#fileCount, byteLength: this.#byteLength, keptByteLength: this.#keptByteLength }
  }

  /**
   * Writes one entry; symlinks are kept for `writeSymlinks`.
   *
   * @throws `INVALID` for a path that cannot be, that has no directory above it or that was written before;
   * `CORRUPT` for content of another length than declared; `LIMIT` above `maxBytes`.
   */
  async write (entry: TreeEntry): Promise<void> {
    this.#options.signal?.throwIfAborted()
    if (entry.path.length > MAX_PATH_SEGMENTS) throw new HoldfastError('LIMIT', `${quoted(entry)} is nested deeper than ${MAX_PATH_SEGMENTS} directories`)
    for (const name of entry.path) requireDiskName(name)
    if (entry.kind === 'file') requireLength(entry)
    this.#charge(entry)
    if (entry.path.length > 0) await this.#requireParent(entry)
    if (this.#isResuming && entry.kind !== 'symlink' && await this.#goOn(entry)) return
    switch (entry.kind) {
      case 'file': return await this.#writeFile(entry)
      case 'directory': return await this.#writeDirectory(entry)
      case 'symlink': return this.#keepSymlink(entry)
    }
  }

  /** Writes the symlinks. Nothing may be written afterwards. */
  async writeSymlinks (): Promise<void> {
    for (const entry of this.#symlinks) {
      this.#options.signal?.throwIfAborted()
      await createNew(entry, symlink(entry.target, this.#pathOf(entry)))
      if (entry.mtime !== undefined) await setTime(entry.mtime, async (time) => await onDisk(`set the time of ${quoted(entry)}`, lutimes(this.#pathOf(entry), new Date(), time)))
    }
  }

  /** Applies the modes and times of directories, deepest first, to the tree that was moved to `root`. */
  async applyAttributes (root: string): Promise<void> {
    if (process.platform === 'win32') return // Directories have no mode there, and cannot be opened.
    for (const entry of this.#directories.toReversed()) {
      const flags = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW
      await using directory = await onDisk(`open the directory ${quoted(entry)}`, open(join(root, ...entry.path), flags))
      await setAttributes(directory, entry)
    }
  }

  async #writeFile (entry: FileEntry): Promise<void> {
    // Not on Windows, which has no such flag; there `wx` alone does not follow a symlink either.
    const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | (constants.O_NOFOLLOW ?? 0)
    await using file = await createNew(entry, open(this.#pathOf(entry), flags))
    await this.#append(file, entry, entry.content)
  }

  /** Goes on with what an interrupted run left of this entry; returns whether there was something. */
  async #goOn (entry: FileEntry | DirectoryEntry): Promise<boolean> {
    const path = this.#pathOf(entry)
    const found = await unless('ENOENT', lstat(path))
    if (found === undefined) {
      this.#isResuming = false
      return false
    }
    if (entry.kind === 'directory') {
      if (!found.isDirectory()) return false
      this.#deferAttributes(entry)
      return true
    }
    if (!found.isFile() || found.nlink !== 1 || entry.known === undefined) return false
    // A file that is complete may have a mode that forbids even its owner.
    await onDisk(`open ${quoted(entry)}`, chmod(path, 0o600))
    await using file = await onDisk(`open ${quoted(entry)}`, open(path, constants.O_RDWR | (constants.O_NOFOLLOW ?? 0)))
    const offset = await keptByteLength(file, entry.known.leaves(Math.min(found.size, entry.byteLength)), this.#options)
    await onDisk(`cut ${quoted(entry)}`, file.truncate(offset))
    this.#byteLength += offset
    this.#keptByteLength += offset
    await this.#append(file, entry, entry.known.from(offset), offset)
    return true
  }

  async #append (file: FileHandle, entry: FileEntry, content: AsyncIterable<Uint8Array>, offset = 0): Promise<void> {
    let written = offset
    for await (const piece of content) {
      this.#options.signal?.throwIfAborted()
      written += piece.byteLength
      if (written > entry.byteLength) throw wrongLength(entry, `at least ${written}`)
      await onDisk(`write ${quoted(entry)}`, writeAll(file, piece, written - piece.byteLength))
      this.#byteLength += piece.byteLength
      this.#options.onProgress(this.counts)
    }
    if (written < entry.byteLength) throw wrongLength(entry, `${written}`)
    await setAttributes(file, entry)
    this.#fileCount++
    this.#options.onProgress(this.counts)
  }

  async #writeDirectory (entry: DirectoryEntry): Promise<void> {
    await createNew(entry, mkdir(this.#pathOf(entry)))
    this.#deferAttributes(entry)
  }

  #deferAttributes (entry: DirectoryEntry): void {
    if (entry.mode === undefined && entry.mtime === undefined) return
    this.#defer(entry, 0)
    this.#directories.push(entry)
  }

  #keepSymlink (entry: SymlinkEntry): void {
    if (entry.target === '' || entry.target.includes('\0') || !entry.target.isWellFormed()) throw new HoldfastError('INVALID', `Symlink ${quoted(entry)} has a target that cannot be`)
    if (!this.#options.allowOutsideSymlinks && leavesTree(entry.path, entry.target)) {
      throw new HoldfastError('INVALID', `Symlink ${quoted(entry)} points out of the tree, to ${JSON.stringify(entry.target)}; pass --allow-outside-symlinks to write it all the same`, { path: entry.path, target: entry.target })
    }
    this.#defer(entry, entry.target.length)
    this.#symlinks.push(entry)
  }

  #charge (entry: TreeEntry): void {
    const { maxBytes } = this.#options
    this.#chargedBytes += Math.max(entry.kind === 'file' ? entry.byteLength : 0, ENTRY_BYTES)
    if (this.#chargedBytes > maxBytes) {
      throw new HoldfastError('LIMIT', `The tree is longer than the ${maxBytes} bytes allowed, at ${quoted(entry)}; pass --max-size to allow more`, { maxBytes, path: entry.path })
    }
  }

  #defer ({ path }: TreeEntry, extraLength: number): void {
    this.#deferredBytes += path.reduce((sum, name) => sum + name.length + NAME_OVERHEAD_BYTES, extraLength) + DEFERRED_OVERHEAD_BYTES
    if (this.#deferredBytes > MAX_DEFERRED_BYTES) throw new HoldfastError('LIMIT', `The tree has more symlinks or directory attributes than fit in ${MAX_DEFERRED_BYTES} bytes`)
  }

  /** Looks at every directory above an entry, without following anything. */
  async #requireParent (entry: TreeEntry): Promise<void> {
    const parent = join(this.#root, ...entry.path.slice(0, -1))
    if (parent === this.#checkedParent) return
    let path = this.#root
    for (const name of ['', ...entry.path.slice(0, -1)]) {
      path = join(path, name)
      const found = await unless('ENOENT', unless('ENOTDIR', lstat(path)))
      if (found?.isDirectory() !== true) throw new HoldfastError('INVALID', `${quoted(entry)} lies below something that is not a directory`, { path: entry.path })
    }
    this.#checkedParent = parent
  }

  #pathOf ({ path }: TreeEntry): string {
    return join(this.#root, ...path)
  }
}

async function writeAll (file: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  for (let at = 0; at < bytes.byteLength;) at += (await file.write(bytes, at, bytes.byteLength - at, position + at)).bytesWritten
}

/** Awaits a call that creates a file, directory or symlink and fails when there is one. */
async function createNew<T> (entry: TreeEntry, creation: Promise<T>): Promise<T> {
  try {
    return await creation
  } catch (cause) {
    if (errnoOf(cause) !== 'EEXIST') return await onDisk(`create ${quoted(entry)}`, Promise.reject(cause))
    throw new HoldfastError('INVALID', `${quoted(entry)} is in the tree twice, or this file system takes it for another name that differs in case or Unicode form only`, { cause, path: entry.path })
  }
}
