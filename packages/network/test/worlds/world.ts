/** What the programs that run in a network of their own share. */
import { silentLogger } from '@holdfast/core'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type NetworkHost, type NetworkOptions, NO_DISCOVERY, openHost, openIdentity } from '../../src/index.ts'

/** Runs `play` with a way to open hosts, and prints what it returns. */
export async function runWorld (play: (open: (options: Partial<NetworkOptions>) => Promise<NetworkHost>) => Promise<object>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-'))
  {
    await using hosts = new AsyncDisposableStack()
    let count = 0
    const result = await play(async (options) => {
      const identity = await openIdentity(join(folder, `${count++}.key`))
      return hosts.use(await openHost({ identity, log: silentLogger }, { mode: 'public', listen: [], dht: 'off', ...NO_DISCOVERY, ...options }))
    })
    process.stdout.write(JSON.stringify(result))
  }
  await rm(folder, { recursive: true, force: true })
}
