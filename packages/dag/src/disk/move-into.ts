import { HoldfastError } from '@holdfast/core'
import { lstat, readdir, rename } from 'node:fs/promises'
import { join } from 'node:path'
import { onDisk, unless } from './disk-error.ts'

/**
 * Moves a file or directory to `to`, on the same file system.
 *
 * What is there is kept, except files and symlinks of the same path, which are replaced; directories are merged.
 * No symlink is followed.
 *
 * @throws `INVALID` where a directory meets something that is none.
 */
export async function moveInto (from: string, to: string): Promise<void> {
  const there = await unless('ENOENT', lstat(to))
  if (there === undefined) return await onDisk(`move to ${to}`, rename(from, to))
  const here = await onDisk(`look at ${from}`, lstat(from))
  if (here.isDirectory() !== there.isDirectory()) {
    throw new HoldfastError('INVALID', `${to} is ${there.isDirectory() ? 'a directory' : 'not a directory'}, and the tree has ${here.isDirectory() ? 'a directory' : 'none'} there; remove it first`, { path: to })
  }
  if (!here.isDirectory()) return await onDisk(`replace ${to}`, rename(from, to))
  for (const name of await onDisk(`list ${from}`, readdir(from))) await moveInto(join(from, name), join(to, name))
}

/**
 * Moves a file or directory to `to`, where nothing is, on the same file system.
 *
 * @throws `INVALID` when something is there; a directory that comes there meanwhile is not merged with.
 */
export async function moveNew (from: string, to: string): Promise<void> {
  await requireAbsent(to)
  await onDisk(`move to ${to}`, rename(from, to))
}

/** @throws `INVALID` when something is at `path`. */
export async function requireAbsent (path: string): Promise<void> {
  if (await onDisk(`look at ${path}`, unless('ENOENT', lstat(path))) !== undefined) {
    throw new HoldfastError('INVALID', `${path} exists; choose another place, or pass --overwrite`, { path })
  }
}
