/**
 * How fast a file is fetched from another process: over bare sockets against the same bytes sent and hashed, and over
 * libp2p against one bare stream of the same encryption.
 *
 * Run with `node packages/exchange/bench/fetch.ts [MiB] [chunk KiB: 1024 or 256]`. Stores are in memory, so that the
 * exchange is what is measured. The lanes take turns; the best of the rounds counts.
 */
import { MemoryBlockstore } from '@holdfast/blockstore'
import { CODECS, silentLogger } from '@holdfast/core'
import { importBytes, recipeOf, walkDag } from '@holdfast/dag'
import { type NetworkHost, NO_DISCOVERY, openHost, openIdentity } from '@holdfast/network'
import { CID } from 'multiformats/cid'
import { fork } from 'node:child_process'
import { hash } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { connect, createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { argv, stdout } from 'node:process'
import { openExchange } from '../src/exchange.ts'
import type { ExchangeHost } from '../src/exchange-host.ts'
import { openTcpHost } from '../src/tcp-host.test.ts'

const MIB = 1024 * 1024
const ROUND_COUNT = 4
const ROUTING = { async * findProviders () {} }
const BARE_PROTOCOL = '/holdfast/bench/bare/1.0.0'

interface Served {
  readonly cid: string
  readonly tcpAddress: string
  readonly libp2pAddress: string
  readonly port: number
}

const mebibytes = Number(argv[2] ?? 256)
const profile = Number(argv[3] ?? 1024) === 256 ? 'unixfs-v0-2015' : 'unixfs-v1-2025'

if (process.send === undefined) await measure()
else await serve()

async function measure (): Promise<void> {
  const child = fork(import.meta.filename, argv.slice(2))
  const [served] = await once(child, 'message') as [Served]
  const lanes: Record<string, () => Promise<void>> = {
    'bare socket and SHA-256': async () => { await receiveSocket(served.port) },
    'exchange over bare sockets': async () => {
      await using host = await openTcpHost(`fetcher-${Math.random()}`)
      await fetch(served, host, served.tcpAddress)
    },
    'one libp2p stream': async () => {
      await using host = await openNetworkHost()
      await receiveStream(host, served.libp2pAddress)
    },
    'exchange over libp2p': async () => {
      await using host = await openNetworkHost()
      await fetch(served, host, served.libp2pAddress)
    }
  }
  const best = new Map<string, { seconds: number, cpuSeconds: number }>()
  for (let round = 0; round < ROUND_COUNT; round++) {
    for (const [name, run] of Object.entries(lanes)) {
      const { seconds, cpuSeconds } = await timed(run)
      if (seconds < (best.get(name)?.seconds ?? Infinity)) best.set(name, { seconds, cpuSeconds })
    }
  }
  for (const [name, { seconds, cpuSeconds }] of best) {
    stdout.write(`${name.padEnd(28)} ${(mebibytes / seconds).toFixed(0).padStart(5)} MiB/s  CPU of the receiver ${(cpuSeconds * 1024 / mebibytes).toFixed(2)} s/GiB\n`)
  }
  child.kill()
}

async function timed (run: () => Promise<void>): Promise<{ seconds: number, cpuSeconds: number }> {
  const cpuBefore = process.cpuUsage()
  const start = performance.now()
  await run()
  const { user, system } = process.cpuUsage(cpuBefore)
  return { seconds: (performance.now() - start) / 1000, cpuSeconds: (user + system) / 1e6 }
}

async function fetch ({ cid }: Served, host: ExchangeHost, address: string): Promise<void> {
  await using exchange = await openExchange({ host, routing: ROUTING, blocks: new MemoryBlockstore(), log: silentLogger })
  await host.connect(address)
  using session = exchange.openSession(CID.parse(cid), { walk: true })
  let found = 0
  for await (const block of walkDag(session, [CID.parse(cid)])) found += block.cid.code === CODECS.raw ? block.bytes.byteLength : 0
  requireAll(found)
  const { duplicateBlockCount, unrequestedBlockCount, wrongBlockCount } = exchange.stats()
  if (duplicateBlockCount + unrequestedBlockCount + wrongBlockCount > 0) stdout.write(`${JSON.stringify(exchange.stats())}\n`)
}

async function receiveSocket (port: number): Promise<void> {
  let found = 0
  for await (const chunk of connect(port, '127.0.0.1') as AsyncIterable<Uint8Array>) {
    hash('sha256', chunk, 'buffer')
    found += chunk.byteLength
  }
  requireAll(found)
}

async function receiveStream (host: NetworkHost, address: string): Promise<void> {
  await using stream = await host.openStream(await host.connect(address), [BARE_PROTOCOL])
  let found = 0
  for await (const chunk of stream.read()) found += chunk.byteLength
  requireAll(found)
}

function requireAll (byteLength: number): void {
  if (byteLength !== mebibytes * MIB) throw new Error(`${byteLength} bytes came of ${mebibytes} MiB`)
}

async function openNetworkHost (): Promise<NetworkHost> {
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-'))
  const identity = await openIdentity(join(folder, 'identity.key'))
  await rm(folder, { recursive: true })
  return await openHost({ identity, log: silentLogger }, { mode: 'lan', listen: ['/ip4/127.0.0.1/tcp/0'], dht: 'off', ...NO_DISCOVERY })
}

async function serve (): Promise<void> {
  const blocks = new MemoryBlockstore()
  const { cid } = await importBytes(blocks, content(), recipeOf({ profile, rawLeaves: true }))
  const tcp = await openTcpHost('holder')
  const libp2p = await openNetworkHost()
  for (const host of [tcp, libp2p]) await openExchange({ host, routing: ROUTING, blocks, log: silentLogger })

  const bytes = Buffer.alloc(MIB)
  await libp2p.handle([BARE_PROTOCOL], async (stream) => {
    for (let count = 0; count < mebibytes; count++) await stream.write([bytes])
    await stream.closeWrite()
  })
  const bare = createServer((socket) => {
    let left = mebibytes
    const send = (): void => {
      while (left-- > 0) if (!socket.write(bytes)) return void socket.once('drain', send)
      socket.end()
    }
    send()
  }).listen(0, '127.0.0.1')
  await once(bare, 'listening')
  process.send?.({ cid: cid.toString(), tcpAddress: tcp.address, libp2pAddress: libp2p.addresses()[0], port: (bare.address() as AddressInfo).port })
}

async function * content (): AsyncIterable<Uint8Array> {
  for (let index = 0; index < mebibytes; index++) {
    const bytes = new Uint8Array(MIB)
    for (let at = 0; at < MIB; at += 4096) new DataView(bytes.buffer).setUint32(at, index * 256 + at)
    yield bytes
  }
}
