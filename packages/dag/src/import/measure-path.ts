import type { AbortOptions } from '@holdfast/core'
import { lstat, opendir } from 'node:fs/promises'
import { join } from 'node:path'

export interface MeasureOptions extends AbortOptions {
  /** Count entries whose name begins with a dot too. @default false */
  hidden?: boolean | undefined
}

/**
 * Adds up the bytes of the files at a path, so that progress can be told as a part of a whole.
 *
 * An estimate: what cannot be read, or changes meanwhile, is left for the import itself to find.
 */
export async function measurePath (path: string, options: MeasureOptions = {}): Promise<number> {
  options.signal?.throwIfAborted()
  const stats = await lstat(path).catch(() => undefined)
  if (stats === undefined) return 0
  if (!stats.isDirectory()) return stats.isFile() ? stats.size : 0
  let byteLength = 0
  const entries = await opendir(path).catch(() => [])
  for await (const { name } of entries) {
    if (options.hidden === true || !name.startsWith('.')) byteLength += await measurePath(join(path, name), options)
  }
  return byteLength
}
