import { readdir, readFile, readlink } from 'node:fs/promises'

/** State of a listening socket in /proc/net/tcp. */
const LISTEN = '0A'

/**
 * Tells which process listens on a TCP port: `process 4711 (ipfs)`. `undefined` where the system does not
 * say: on other systems than Linux, and for processes of other users.
 */
export async function portHolder (port: number): Promise<string | undefined> {
  const inodes = new Set([...await listeningInodes('/proc/net/tcp', port), ...await listeningInodes('/proc/net/tcp6', port)])
  if (inodes.size === 0) return undefined
  for (const pid of await namesIn('/proc')) {
    if (/^\d+$/.test(pid) && await holdsSocket(pid, inodes)) return `process ${pid} (${(await textOf(`/proc/${pid}/comm`)).trim()})`
  }
  return undefined
}

async function listeningInodes (table: string, port: number): Promise<string[]> {
  const suffix = `:${port.toString(16).toUpperCase().padStart(4, '0')}`
  const rows = (await textOf(table)).split('\n').map((line) => line.trim().split(/\s+/))
  return rows.filter(([, local = '', , state]) => local.endsWith(suffix) && state === LISTEN).map((row) => row[9] ?? '')
}

async function holdsSocket (pid: string, inodes: ReadonlySet<string>): Promise<boolean> {
  for (const descriptor of await namesIn(`/proc/${pid}/fd`)) {
    const target = await readlink(`/proc/${pid}/fd/${descriptor}`).catch(() => '')
    if (inodes.has(/^socket:\[(\d+)\]$/.exec(target)?.[1] ?? 'none')) return true
  }
  return false
}

/** What cannot be read tells nothing: the holder stays unknown. */
async function namesIn (folder: string): Promise<string[]> {
  return await readdir(folder).catch(() => [])
}

async function textOf (path: string): Promise<string> {
  return await readFile(path, 'utf8').catch(() => '')
}
