/**
 * How fast a file is fetched from another process over bare sockets, against the same bytes sent and hashed.
 *
 * Run with `node packages/exchange/bench/fetch.ts [MiB] [chunk KiB]`. Stores are in memory, so that the exchange is what
 * is measured. The lanes take turns; the best of the rounds counts.
 */
import { MemoryBlockstore } from '@holdfast/blockstore'
import { silentLogger } from '@holdfast/core'
import { importBytes, recipeOf, walkDag } from '@holdfast/dag'
import { CID } from 'multiformats/cid'
import { fork } from 'node:child_process'
import { hash } from 'node:crypto'
import { once } from 'node:events'
import { connect, createServer, type AddressInfo } from 'node:net'
import { argv, stdout } from 'node:process'
import { openExchange } from '../src/exchange.ts'
import { openTcpHost } from '../src/tcp-host.test.ts'

const MIB = 1024 * 1024
const ROUND_COUNT = 3
const ROUTING = { async * findProviders () {} }

interface Served {
  readonly cid: string
  readonly address: string
  readonly port: number
}

if (process.send === undefined) await measure(Number(argv[2] ?? 256), Number(argv[3] ?? 1024))
else await serve(Number(argv[2]), Number(argv[3]))

async function measure (mebibytes: number, chunkKib: number): Promise<void> {
  const child = fork(import.meta.filename, [String(mebibytes), String(chunkKib)])
  const [served] = await once(child, 'message') as [Served]
  for (let round = 0; round < ROUND_COUNT; round++) {
    const bare = await seconds(() => fetchBare(served.port, mebibytes * MIB))
    const before = process.cpuUsage()
    const blocks = new MemoryBlockstore()
    const ours = await seconds(() => fetch(served, blocks, mebibytes * MIB))
    const { user, system } = process.cpuUsage(before)
    stdout.write(`bare socket and SHA-256 ${(mebibytes / bare).toFixed(0)} MiB/s, exchange ${(mebibytes / ours).toFixed(0)} MiB/s, ratio ${(bare / ours).toFixed(2)}, CPU of the fetcher ${((user + system) / 1e6).toFixed(2)} s, RSS ${(process.memoryUsage.rss() / MIB).toFixed(0)} MiB\n`)
  }
  child.kill()
}

async function fetch ({ cid, address }: Served, blocks: MemoryBlockstore, byteLength: number): Promise<void> {
  await using host = await openTcpHost(`fetcher-${Math.random()}`)
  await using exchange = await openExchange({ host, routing: ROUTING, blocks, log: silentLogger })
  await host.connect(address)
  using session = exchange.openSession(CID.parse(cid), { walk: true })
  let found = 0
  for await (const block of walkDag(session, [CID.parse(cid)])) if (block.cid.code === 0x55) found += block.bytes.byteLength
  if (found !== byteLength) throw new Error(`Fetched ${found} bytes`)
  const { duplicateBlockCount, unrequestedBlockCount, wrongBlockCount } = exchange.stats()
  if (duplicateBlockCount + unrequestedBlockCount + wrongBlockCount > 0) stdout.write(`${JSON.stringify(exchange.stats())}\n`)
}

async function fetchBare (port: number, byteLength: number): Promise<void> {
  const socket = connect(port, '127.0.0.1')
  let found = 0
  for await (const chunk of socket) {
    hash('sha256', chunk as Uint8Array, 'buffer')
    found += (chunk as Uint8Array).byteLength
  }
  if (found !== byteLength) throw new Error(`Received ${found} bytes`)
}

async function seconds (run: () => Promise<void>): Promise<number> {
  const start = performance.now()
  await run()
  return (performance.now() - start) / 1000
}

async function serve (mebibytes: number, chunkKib: number): Promise<void> {
  const blocks = new MemoryBlockstore()
  const recipe = recipeOf({ profile: chunkKib === 256 ? 'unixfs-v0-2015' : 'unixfs-v1-2025', rawLeaves: true })
  const { cid } = await importBytes(blocks, content(mebibytes), recipe)
  const host = await openTcpHost('holder')
  await openExchange({ host, routing: ROUTING, blocks, log: silentLogger })
  const bytes = Buffer.alloc(MIB)
  const bare = createServer((socket) => {
    let left = mebibytes
    const send = (): void => {
      while (left-- > 0) if (!socket.write(bytes)) return void socket.once('drain', send)
      socket.end()
    }
    send()
  }).listen(0, '127.0.0.1')
  await once(bare, 'listening')
  process.send?.({ cid: cid.toString(), address: host.address, port: (bare.address() as AddressInfo).port })
}

async function * content (mebibytes: number): AsyncIterable<Uint8Array> {
  for (let index = 0; index < mebibytes; index++) {
    const bytes = new Uint8Array(MIB)
    new DataView(bytes.buffer).setUint32(0, index)
    for (let at = 0; at < MIB; at += 4096) new DataView(bytes.buffer).setUint32(at, index * 256 + at)
    yield bytes
  }
}
