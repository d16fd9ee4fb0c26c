import { silentLogger } from '@holdfast/core'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { type NetworkDeps, type NetworkHost, type NetworkOptions, NO_DISCOVERY, openHost, openIdentity } from '../src/index.ts'

/** A host on loopback that finds nobody by itself, and ends with the test. */
export async function newHost (context: TestContext, options: Partial<NetworkOptions> = {}, deps: Partial<NetworkDeps> = {}): Promise<NetworkHost> {
  const identity = deps.identity ?? await openIdentity(await newFile(context, 'identity.key'))
  const host = await openHost({ identity, log: silentLogger, ...deps }, { mode: 'lan', listen: ['/ip4/127.0.0.1/tcp/0'], dht: 'off', ...NO_DISCOVERY, ...options })
  context.after(async () => { await host[Symbol.asyncDispose]() })
  return host
}

/** The path of a file that is not there yet, in a folder that goes with the test. */
export async function newFile (context: TestContext, name: string): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-'))
  context.after(async () => { await rm(folder, { recursive: true, force: true }) })
  return join(folder, name)
}

export function addressOf (host: NetworkHost): string {
  const [address] = host.addresses()
  if (address === undefined) throw new Error('The host listens nowhere')
  return address
}

/** Waits for something that happens on its own. */
export async function until (isTrue: () => boolean, timeoutMs = 30_000): Promise<void> {
  const endMs = performance.now() + timeoutMs
  while (!isTrue()) {
    if (performance.now() > endMs) throw new Error(`Not within ${timeoutMs} ms: ${String(isTrue)}`)
    await new Promise((resolve) => { setTimeout(resolve, 10) })
  }
}

export async function readAll (source: AsyncIterable<Uint8Array>): Promise<Buffer> {
  return Buffer.concat(await Array.fromAsync(source))
}
