import type { AbortOptions } from '@holdfast/core'
import { lstat, opendir } from 'node:fs/promises'
import { join } from 'node:path'
import type { IgnoreRules } from './ignore-rules.ts'

export interface MeasureOptions extends AbortOptions {
  /** Count entries whose name begins with a dot too. @default false */
  hidden?: boolean | undefined
  /** Entries below the path that are not counted. */
  ignore?: IgnoreRules | undefined
}

/**
 * Adds up the bytes of the files at a path, so that progress can be told as a part of a whole.
 *
 * An estimate: what cannot be read, or changes meanwhile, is left for the import itself to find, and symlinks are not followed.
 */
export async function measurePath (path: string, options: MeasureOptions = {}): Promise<number> {
  return await measureEntry(path, '', options)
}

async function measureEntry (path: string, below: string, options: MeasureOptions): Promise<number> {
  options.signal?.throwIfAborted()
  const stats = await lstat(path).catch(() => undefined)
  if (stats === undefined) return 0
  if (!stats.isDirectory()) return stats.isFile() ? stats.size : 0
  let byteLength = 0
  const isIgnored = options.ignore?.inDirectory(below)
  const entries = await opendir(path).catch(() => [])
  for await (const entry of entries) {
    const { name } = entry
    if (options.hidden !== true && name.startsWith('.')) continue
    if (isIgnored?.(name, entry.isDirectory()) === true) continue
    byteLength += await measureEntry(join(path, name), below === '' ? name : `${below}/${name}`, options)
  }
  return byteLength
}
