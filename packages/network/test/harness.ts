import { type Logger, silentLogger } from '@holdfast/core'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { type NetworkHost, type NetworkOptions, openHost, openIdentity } from '../src/index.ts'

/** A host on loopback that ends with the test. */
export async function newHost (context: TestContext, options: Partial<NetworkOptions> = {}, log: Logger = silentLogger): Promise<NetworkHost> {
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-'))
  const identity = await openIdentity(join(folder, 'identity.key'))
  const host = await openHost({ identity, log }, { mode: 'lan', listen: ['/ip4/127.0.0.1/tcp/0'], dht: 'off', ...options })
  context.after(async () => {
    await host[Symbol.asyncDispose]()
    await rm(folder, { recursive: true, force: true })
  })
  return host
}

export function addressOf (host: NetworkHost): string {
  const [address] = host.addresses()
  if (address === undefined) throw new Error('The host listens nowhere')
  return address
}

/** Waits for something that happens on its own. */
export async function until (isTrue: () => boolean, timeoutMs = 5_000): Promise<void> {
  const endMs = performance.now() + timeoutMs
  while (!isTrue()) {
    if (performance.now() > endMs) throw new Error(`Not within ${timeoutMs} ms: ${String(isTrue)}`)
    await new Promise((resolve) => { setTimeout(resolve, 10) })
  }
}

export async function readAll (source: AsyncIterable<Uint8Array>): Promise<Buffer> {
  return Buffer.concat(await Array.fromAsync(source))
}
