import { lstat, mkdir, mkdtemp, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

export interface Jail {
  readonly folder: string
  /** Where to write, in `folder`; nothing is there. */
  readonly target: string
  /** All that can be seen of what lies outside of `folder`. */
  snapshot(): Promise<unknown>
}

/** Makes a folder to write into, beside one that must not change. */
export async function openJail (scratch: string): Promise<Jail> {
  const parent = await mkdtemp(join(scratch, 'jail-'))
  const folder = join(parent, 'folder')
  const outside = join(parent, 'outside')
  await mkdir(folder)
  await mkdir(outside)
  await writeFile(join(outside, 'secret'), 'secret')
  const snapshot = async (): Promise<unknown> => {
    const seen = [parent, outside, join(outside, 'secret')]
    const stats = await Promise.all(seen.map(async (path) => await lstat(path)))
    return [await readdir(parent), await readdir(outside), await readFile(join(outside, 'secret'), 'utf8'), stats.map(({ mode, mtimeMs, ctimeMs, ino, nlink }) => ({ mode, mtimeMs, ctimeMs, ino, nlink }))]
  }
  return { folder, target: join(folder, 'out'), snapshot }
}
