import { HoldfastError } from '@holdfast/core'
import ignore, { type Ignore } from 'ignore'

/** Most bytes of rules that are taken, in all: files of rules are written by people. */
export const MAX_IGNORE_BYTES: number = 1024 * 1024

/** Which entries below a directory are left out, in the words of `.gitignore`. */
export interface IgnoreRules {
  /** Returns a test for the entries of one directory; `path` leads to it from where the rules begin, `''` there. */
  inDirectory(path: string): (name: string, isDirectory: boolean) => boolean
}

/**
 * Reads rules, each text a rule or a file of rules.
 *
 * Unlike Kubo, which compares rules with the name of an entry alone, rules with a slash hold for paths, as git reads them.
 *
 * @throws `LIMIT` above `MAX_IGNORE_BYTES`.
 * @see https://git-scm.com/docs/gitignore §"Pattern format"
 */
export function parseIgnoreRules (texts: readonly string[]): IgnoreRules {
  const byteLength = texts.reduce((sum, text) => sum + Buffer.byteLength(text), 0)
  if (byteLength > MAX_IGNORE_BYTES) throw new HoldfastError('LIMIT', `Rules of what to ignore have ${byteLength} bytes, more than ${MAX_IGNORE_BYTES}`, { byteLength })
  const rules = newRules()
  for (const text of texts) rules.add(text)
  return {
    inDirectory (path) {
      // A set of rules remembers every path it was asked about: one of its own for each directory goes with it.
      const ofDirectory = newRules().add(rules)
      const prefix = path === '' ? '' : `${path}/`
      return (name, isDirectory) => ofDirectory.ignores(`${prefix}${name}${isDirectory ? '/' : ''}`)
    }
  }
}

function newRules (): Ignore {
  return ignore({ ignorecase: false, allowRelativePaths: true })
}
