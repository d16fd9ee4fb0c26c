import { spawnSync } from 'node:child_process'
import { join } from 'node:path'

/** Folder of the checkout. */
export const ROOT: string = join(import.meta.dirname, '..')

/** Runs a program in the checkout and ends this process with its status when it fails. */
export function run (label: string, program: string, args: readonly string[], env: Readonly<Record<string, string>> = {}): void {
  console.error(`▸ ${label}`)
  const { status, error } = spawnSync(program, args, { cwd: ROOT, stdio: 'inherit', env: { ...process.env, ...env }, shell: process.platform === 'win32' })
  if (error !== undefined) console.error(error.message)
  if (status !== 0) process.exit(status ?? 1)
}

/** Path of a program that the workspace installed. */
export function installed (name: string): string {
  return join(ROOT, 'node_modules', '.bin', process.platform === 'win32' ? `${name}.cmd` : name)
}

/** Runs test files; node prints its own summary last. */
export function runTests (patterns: readonly string[], flags: readonly string[] = [], env: Readonly<Record<string, string>> = {}): void {
  run('tests', process.execPath, ['--test', '--test-concurrency=2', '--test-timeout=300000', ...flags, ...patterns], env)
}

/** Checks all types, and that what packages export is annotated, so that each file's declarations follow from it alone. */
export function checkTypes (): void {
  run('types', installed('tsc'), ['-p', 'tsconfig.json'])
  run('declarations', installed('tsc'), ['-p', 'tsconfig.packages.json'])
}
