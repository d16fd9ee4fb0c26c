import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { ROOT } from './run.ts'

/** How the pinned pnpm is run: program and arguments. */
export function pnpm (args: readonly string[]): [program: string, args: string[]] {
  const { packageManager } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { packageManager: string }
  return ['npx', ['--yes', packageManager, ...args]]
}
