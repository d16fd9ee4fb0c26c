import { HoldfastError } from '@holdfast/core'
import { requireEntryName } from '../tree-entry.ts'

/** Names that Windows gives to devices, whatever extension follows. */
const WINDOWS_DEVICE = /^(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³])(\.|$)/i

/** Characters that Windows gives a meaning, among them those of drives and alternate streams. */
// oxlint-disable-next-line no-control-regex -- control characters are what is looked for
const WINDOWS_FORBIDDEN = /[<>:"|?*\\\x00-\x1f]|[. ]$/

/**
 * Checks that a name can be given to a file here, and means nothing else.
 *
 * @throws `INVALID` as `requireEntryName`, and on Windows for names of devices and characters it reserves.
 */
export function requireDiskName (name: string, platform: NodeJS.Platform = process.platform): void {
  requireEntryName(name)
  if (platform === 'win32' && (WINDOWS_DEVICE.test(name) || WINDOWS_FORBIDDEN.test(name))) {
    throw new HoldfastError('INVALID', `${JSON.stringify(name)} cannot be the name of a file or directory on Windows`, { name })
  }
}

/**
 * Reports whether a symlink at `path` could lead out of the tree.
 *
 * Only `..` at the front of a target counts as inside, as far as the directories of `path` go: these are real
 * directories. A `..` behind a name may follow another symlink first and end anywhere.
 */
export function leavesTree (path: readonly string[], target: string, platform: NodeJS.Platform = process.platform): boolean {
  const separator = platform === 'win32' ? /[/\\]/ : /\//
  if (separator.test(target.slice(0, 1)) || (platform === 'win32' && target.includes(':'))) return true
  const names = target.split(separator).filter((name) => name !== '' && name !== '.')
  const firstName = names.findIndex((name) => name !== '..')
  const upCount = firstName === -1 ? names.length : firstName
  return upCount > path.length - 1 || names.includes('..', upCount)
}
