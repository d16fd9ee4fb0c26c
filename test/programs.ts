import { execFile, spawnSync } from 'node:child_process'
import { delimiter } from 'node:path'
import { promisify } from 'node:util'

/** How long apt may take for one step, in milliseconds. */
const APT_MS = 120_000

/** Where programs for root lie, too: not everybody has them on the path. */
const env = { ...process.env, PATH: [process.env.PATH, '/usr/local/sbin', '/usr/sbin', '/sbin'].join(delimiter) }

/** Runs a program of the system to its end, and rejects with what it printed when it fails. */
export async function runProgram (name: string, args: readonly string[]): Promise<void> {
  await promisify(execFile)(name, args, { env })
}

/** Finds a program that a suite needs, and as root on Debian installs its package when it is missing. */
export function findProgram (name: string, debianPackage: string): string | undefined {
  const found = pathOf(name)
  if (found !== undefined || process.getuid?.() !== 0 || pathOf('apt-get') === undefined) return found
  console.error(`▸ ${name} is missing: installing ${debianPackage}`)
  if (!apt('install', debianPackage)) {
    apt('update')
    apt('install', debianPackage)
  }
  return pathOf(name)
}

/** Says so that nobody overlooks it that a suite does not run here, and returns the reason for the runner. */
export function skipLoudly (suite: string, reason: string): string {
  console.error(`\n▲▲▲ SKIPPED: ${suite}. ${reason}\n`)
  return reason
}

function pathOf (name: string): string | undefined {
  const { status, stdout } = spawnSync('sh', ['-c', 'command -v "$0"', name], { encoding: 'utf8', env })
  return status === 0 ? stdout.trim() : undefined
}

/** Two suites may start at once; the second waits for the lock of the first. */
function apt (command: string, ...packages: readonly string[]): boolean {
  const args = ['-q', '-o', 'DPkg::Lock::Timeout=120', '-o', 'APT::Get::Assume-Yes=true', command, '--no-install-recommends', ...packages]
  const { status } = spawnSync('apt-get', args, { stdio: ['ignore', 2, 2], timeout: APT_MS, env: { ...env, DEBIAN_FRONTEND: 'noninteractive' } })
  return status === 0
}
