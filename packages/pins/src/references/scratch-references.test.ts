import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after } from 'node:test'
import { openReferences, type References, type ReferencesDeps } from './references.ts'

const folder = mkdtempSync(join(tmpdir(), 'holdfast-references-'))
after(() => { rmSync(folder, { recursive: true, force: true }) })

let count = 0

/** A path for an index that is removed after the tests of a file. */
export function scratchPath (): string {
  return join(folder, `${count++}.mdb`)
}

/** An index of its own for a test. */
export async function scratchReferences (deps: ReferencesDeps): Promise<References> {
  return await openReferences(deps, { path: scratchPath() })
}
