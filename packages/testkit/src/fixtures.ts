import { existsSync } from 'node:fs'
import { join } from 'node:path'

const FOLDER = join(import.meta.dirname, '..', 'fixtures')

/**
 * Returns where a fixture lies, by its path below `fixtures/`: `kubo/TestDagStat.car`.
 *
 * Throws at once for a name that is not there, so that a misspelt one does not look like a failing reader.
 */
export function fixturePath (name: string): string {
  const path = join(FOLDER, name)
  if (!existsSync(path)) throw new Error(`No fixture ${name}: see packages/testkit/fixtures/README.md`)
  return path
}
