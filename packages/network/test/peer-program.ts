/** A peer in a process of its own: prints its address, echoes what it is sent, and ends with its standard input. */
import { silentLogger } from '@holdfast/core'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { NO_DISCOVERY, openHost, openIdentity } from '../src/index.ts'

const folder = await mkdtemp(join(tmpdir(), 'holdfast-'))
{
  const identity = await openIdentity(join(folder, 'identity.key'))
  await using host = await openHost({ identity, log: silentLogger }, { mode: 'lan', listen: ['/ip4/127.0.0.1/tcp/0'], dht: 'off', ...NO_DISCOVERY })
  await host.handle(['/holdfast/test/echo/1.0.0'], async (stream) => {
    for await (const bytes of stream.read()) await stream.write([bytes])
    await stream.closeWrite()
  })
  process.stdout.write(`${host.addresses()[0]}\n`)
  for await (const _ of process.stdin) break
}
await rm(folder, { recursive: true, force: true })
