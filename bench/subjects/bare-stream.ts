/**
 * One libp2p stream over TLS with nothing above it: `serve MUXER MIB` sends zeros to whoever opens one, `receive MUXER MIB
 * ADDRESS` counts them and prints the seconds. MUXER is `wide`, the one between our nodes, or `standard`, the library as it comes.
 */
import { silentLogger } from '@holdfast/core'
import { NO_DISCOVERY, openHost, openIdentity } from '@holdfast/network'
import type { Stream } from '@libp2p/interface'
import { tcp } from '@libp2p/tcp'
import { tls } from '@libp2p/tls'
import { yamux } from '@libp2p/yamux'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p, type Libp2p } from 'libp2p'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const PROTOCOL = '/holdfast/bench/bare/1.0.0'
const PIECE = new Uint8Array(1 << 20)

const [work = '', muxer = '', mebibytes = '', address = ''] = process.argv.slice(2)
const pieceCount = Number(mebibytes)
const works: Readonly<Record<string, () => Promise<void>>> = { 'serve wide': serveWide, 'serve standard': serveStandard, 'receive wide': receiveWide, 'receive standard': receiveStandard }
const run = works[`${work} ${muxer}`]
if (run === undefined) throw new Error(`No such work: ${work} ${muxer}`)
await run()

async function openWide (): ReturnType<typeof openHost> {
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-bench-'))
  const identity = await openIdentity(join(folder, 'identity.key'))
  await rm(folder, { recursive: true })
  return await openHost({ identity, log: silentLogger }, { mode: 'lan', listen: ['/ip4/127.0.0.1/tcp/0'], dht: 'off', ...NO_DISCOVERY })
}

async function openStandard (): Promise<Libp2p> {
  return await createLibp2p({ addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] }, transports: [tcp()], connectionEncrypters: [tls()], streamMuxers: [yamux()], connectionMonitor: { enabled: false } })
}

async function serveWide (): Promise<void> {
  const host = await openWide()
  await host.handle([PROTOCOL], async (stream) => {
    for (let count = 0; count < pieceCount; count++) await stream.write([PIECE])
    await stream.closeWrite()
    // The stream ends with its handler: not before the other side has heard everything.
    for await (const _ of stream.read());
  })
  console.log(JSON.stringify({ address: host.addresses()[0] }))
}

async function serveStandard (): Promise<void> {
  const node = await openStandard()
  await node.handle(PROTOCOL, async (stream) => {
    for (let count = 0; count < pieceCount; count++) if (!stream.send(PIECE)) await drained(stream)
    await stream.close()
  })
  console.log(JSON.stringify({ address: String(node.getMultiaddrs()[0]) }))
}

/** The library's own `onDrain()` waits once per stream only. */
async function drained (stream: Stream): Promise<void> {
  await new Promise((resolve) => { stream.addEventListener('drain', resolve, { once: true }) })
}

async function receiveWide (): Promise<void> {
  const host = await openWide()
  const peer = await host.connect(address)
  await report(async () => {
    const stream = await host.openStream(peer, [PROTOCOL])
    let byteLength = 0
    for await (const bytes of stream.read()) byteLength += bytes.byteLength
    return byteLength
  })
}

async function receiveStandard (): Promise<void> {
  const node = await openStandard()
  const connection = await node.dial(multiaddr(address))
  await report(async () => {
    const stream = await connection.newStream(PROTOCOL)
    let byteLength = 0
    stream.addEventListener('message', ({ data }) => { byteLength += data.byteLength })
    await new Promise((resolve) => { stream.addEventListener('remoteCloseWrite', resolve, { once: true }) })
    return byteLength
  })
}

async function report (receive: () => Promise<number>): Promise<void> {
  const cpuBefore = process.cpuUsage()
  const startedMs = performance.now()
  const byteLength = await receive()
  const seconds = (performance.now() - startedMs) / 1000
  const { user, system } = process.cpuUsage(cpuBefore)
  process.stdout.write(`${JSON.stringify({ seconds, byteLength, cpuSeconds: (user + system) / 1e6, rssBytes: process.resourceUsage().maxRSS * 1024 })}\n`)
  process.exit(0)
}
