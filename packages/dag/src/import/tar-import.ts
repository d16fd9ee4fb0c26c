import type { BlockWriter } from '@holdfast/blockstore'
import { HoldfastError } from '@holdfast/core'
import { MAX_SYMLINK_TARGET_BYTES } from '../entry.ts'
import type { ImportRecipe } from '../profile.ts'
import type { ImportedEntry } from './import-tree.ts'
import type { ImportAttributes, ImportSource } from './source.ts'
import { type TarEntry, tarEntries } from './tar-reader.ts'
import { openTreeImport, type TreeImport, type TreeImportOptions } from './tree-import.ts'

export interface TarImportOptions extends TreeImportOptions {
  /** Keep the permission bits of files and directories. @default false */
  preserveMode?: boolean | undefined
  /** Keep times of modification. @default false */
  preserveMtime?: boolean | undefined
  /** What every entry gets, whatever the archive says. */
  attributes?: ImportAttributes | undefined
}

/**
 * Imports what is in a tar archive, and returns an entry for each name at its top, or the one directory around them.
 *
 * The archive is read once, as it comes, and not held. Paths stay below the root whatever they say; of two files with one path the
 * last stays.
 *
 * @throws as `tarEntries` and the methods of `openTreeImport`. Nothing refers to what was written then.
 */
export async function importTar (writer: BlockWriter, archive: AsyncIterable<Uint8Array>, recipe: ImportRecipe, options: TarImportOptions = {}): Promise<ImportedEntry[]> {
  await using tree = openTreeImport(writer, recipe, options)
  for await (const entry of tarEntries(archive)) {
    options.signal?.throwIfAborted()
    await importEntry(tree, entry, options)
  }
  return await tree.finish()
}

/** Opens the archive among the sources of an import. @throws `INVALID` unless that is one file. */
export function openTar (sources: readonly ImportSource[], signal?: AbortSignal): AsyncIterable<Uint8Array> {
  const [archive, second] = sources
  if (archive?.kind !== 'file' || second !== undefined) throw new HoldfastError('INVALID', 'A tar archive is one file, or standard input')
  return archive.open(signal)
}

async function importEntry (tree: TreeImport, entry: TarEntry, options: TarImportOptions): Promise<void> {
  const path = entry.path.split('/')
  const attributes = attributesOf(entry, options)
  switch (entry.kind) {
    case 'directory': return tree.directory(path, attributes)
    case 'file': return await tree.file(path, entry.content, attributes)
    case 'hard-link': return await tree.link(path, entry.target.toString().split('/'))
    case 'symlink':
      if (entry.target.byteLength > MAX_SYMLINK_TARGET_BYTES) throw new HoldfastError('LIMIT', `The target of ${JSON.stringify(entry.path)} has ${entry.target.byteLength} bytes, more than ${MAX_SYMLINK_TARGET_BYTES}`)
      return await tree.symlink(path, entry.target, attributes)
  }
}

function attributesOf ({ mode, mtimeSeconds }: TarEntry, { preserveMode, preserveMtime, attributes = {} }: TarImportOptions): ImportAttributes {
  return {
    mode: attributes.mode ?? (preserveMode === true ? mode : undefined),
    mtime: attributes.mtime ?? (preserveMtime === true ? { seconds: mtimeSeconds, nanoseconds: 0 } : undefined)
  }
}
