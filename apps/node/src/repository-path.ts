import { createHash } from 'node:crypto'
import { homedir, tmpdir, userInfo } from 'node:os'
import { join, resolve } from 'node:path'

/** The files of a repository (docs/formats/repository.md). */
export const REPOSITORY_FILES = {
  config: 'config.json',
  identity: 'identity.key',
  swarmKey: 'swarm.key',
  peers: 'peers.json',
  version: 'version',
  lock: 'daemon.lock',
  engine: 'engine',
  blocks: 'blocks',
  packs: 'packs',
  packIndex: 'blocks.mdb',
  packLock: 'blocks.lock',
  conversion: 'conversion',
  scrub: 'scrub.json',
  cache: 'cache.log',
  state: 'state.mdb',
  journal: 'journal',
  socket: 'api.sock'
} as const

/**
 * Longest socket path that is used as it is, in bytes: the address of a unix socket holds 104 on
 * macOS and 108 on Linux, its end included.
 */
export const MAX_SOCKET_PATH_BYTES = 100

/** Where the repository is: the flag, else `$HOLDFAST_PATH`, else `~/.holdfast`. */
export function repositoryPath (flag: string | undefined, variable: string | undefined): string {
  return resolve(flag ?? (variable === undefined || variable === '' ? join(homedir(), '.holdfast') : variable))
}

/**
 * Where the daemon of a repository listens for the command line.
 *
 * Inside the repository unless that path is too long for a socket; then in a folder of this user under the
 * runtime directory, named by a hash of the repository's path. A named pipe on Windows.
 */
export function socketPathOf (repository: string, runtimeFolder?: string): string {
  const name = createHash('sha256').update(repository).digest('hex').slice(0, 24)
  if (process.platform === 'win32') return `\\\\.\\pipe\\holdfast-${name}`
  const inside = join(repository, REPOSITORY_FILES.socket)
  if (Buffer.byteLength(inside) <= MAX_SOCKET_PATH_BYTES) return inside
  const runtime = runtimeFolder === undefined || runtimeFolder === '' || Buffer.byteLength(runtimeFolder) > 60 ? tmpdir() : runtimeFolder
  return join(runtime, `holdfast-${userInfo().uid}`, `${name}.sock`)
}
