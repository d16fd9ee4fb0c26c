import { spawnSync } from 'node:child_process'
import type { TestContext } from 'node:test'

/**
 * Runs a program in a network of its own that has nothing but a loopback interface with `addresses`, so that public addresses
 * and multicast can be tried and no packet leaves it. Returns the JSON it printed.
 *
 * The test is skipped, and says so, where such a network may not be made (not Linux, or no user namespaces).
 */
export function inNamespace<T> (context: TestContext, program: URL, addresses: readonly string[] = []): T | undefined {
  const why = reasonAgainst()
  if (why !== undefined) {
    context.skip(`NOT TESTED: ${why}`)
    return undefined
  }
  const setUp = ['ip link set lo up multicast on', ...addresses.map((address) => `ip addr add ${address}/32 dev lo`), 'ip route add 224.0.0.0/4 dev lo', 'exec "$0" "$1"'].join(' && ')
  const { status, stdout, stderr } = spawnSync('unshare', ['-rn', 'sh', '-c', setUp, process.execPath, program.pathname], { encoding: 'utf8', timeout: 60_000 })
  if (status !== 0) throw new Error(`${program.pathname} ended with status ${status}: ${stderr}${stdout}`)
  return JSON.parse(stdout) as T
}

function reasonAgainst (): string | undefined {
  if (process.platform !== 'linux') return 'network namespaces are of Linux'
  const { status, stderr, error } = spawnSync('unshare', ['-rn', 'ip', 'link', 'set', 'lo', 'up'], { encoding: 'utf8' })
  return status === 0 ? undefined : `a network namespace cannot be made here (${error?.message ?? stderr.trim()})`
}
