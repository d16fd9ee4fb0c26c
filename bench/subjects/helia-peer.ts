/**
 * Helia as one end of a fetch: `serve PATH STORE` adds a file or a folder and answers peers, `fetch CID STORE ADDRESS WAY` reads
 * it from there and prints the seconds of the reading alone. WAY is `file` or `tree`, with `-session` for a session. STORE is a folder for blockstore-fs, or `memory`.
 *
 * Set up as its friends would for one big transfer: TLS, yamux with windows to 16 MiB, no router to search in vain, and the
 * limits raised that would end a long message (10 s), drop a reply (queue of 10) or forget a want (1,024).
 */
import { withBitswap } from '@helia/bitswap'
import { type HeliaWithLibp2p, withLibp2pLight } from '@helia/libp2p'
import { unixfs } from '@helia/unixfs'
import { identify } from '@libp2p/identify'
import type { ServiceMap } from '@libp2p/interface'
import { tcp } from '@libp2p/tcp'
import { tls } from '@libp2p/tls'
import { yamux } from '@libp2p/yamux'
import { multiaddr } from '@multiformats/multiaddr'
import { MemoryBlockstore } from 'blockstore-core'
import { FsBlockstore } from 'blockstore-fs'
import { createHeliaLight } from 'helia'
import { CID } from 'multiformats/cid'
import { createReadStream } from 'node:fs'
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'

/** Longer than any row takes, in ms. */
const PATIENCE_MS = 600_000

/** Wants that are open at once when a tree is read: what a Helia server remembers of one peer. */
const PARALLEL_READS = 1024

const [work = '', what = '', store = '', address = '', way = ''] = process.argv.slice(2)
if (work === 'serve') await serve()
else await fetch()

async function start (listen: string[]): Promise<HeliaWithLibp2p<ServiceMap>> {
  const blockstore = store === 'memory' ? new MemoryBlockstore() : new FsBlockstore(store)
  if (blockstore instanceof FsBlockstore) await blockstore.open()
  return await withBitswap(withLibp2pLight(createHeliaLight({ blockstore }), {
    addresses: { listen },
    transports: [tcp()],
    connectionEncrypters: [tls()],
    streamMuxers: [yamux()],
    connectionMonitor: { enabled: false },
    services: { identify: identify() }
  }), {
    messageSendTimeout: PATIENCE_MS,
    messageReceiveTimeout: PATIENCE_MS,
    sendBlocksTimeout: PATIENCE_MS,
    sendBlocksMaxQueueLength: 100_000,
    maxWantlistSize: 100_000
  }).start()
}

async function serve (): Promise<void> {
  const helia = await start(['/ip4/127.0.0.1/tcp/0'])
  const fs = unixfs(helia)
  let cid: CID | undefined
  if ((await stat(what)).isDirectory()) for await (const entry of fs.addAll(tree(what))) cid = entry.cid
  else cid = await fs.addByteStream(createReadStream(what, { highWaterMark: 1 << 20 }))
  console.log(JSON.stringify({ address: String(helia.libp2p.getMultiaddrs()[0]), cid: String(cid) }))
}

async function * tree (folder: string): AsyncGenerator<{ path: string, content: AsyncIterable<Uint8Array> }> {
  for (const name of await readdir(folder)) yield { path: `tree/${name}`, content: createReadStream(join(folder, name)) }
}

async function fetch (): Promise<void> {
  const helia = await start([])
  const provider = multiaddr(address)
  await helia.libp2p.dial(provider)
  const cid = CID.parse(what)
  const cpuBefore = process.cpuUsage()
  const startedMs = performance.now()
  // A session asks the provider alone; without one, every peer that is connected, which is the same one here.
  const blockstore = way.endsWith('session') ? helia.blockstore.createSession(cid, { providers: [provider], maxProviders: 1 }) : helia.blockstore
  const fs = unixfs({ blockstore })
  const byteLength = way.startsWith('tree') ? await readTree(fs, cid) : await lengthOf(fs.cat(cid))
  const seconds = (performance.now() - startedMs) / 1000
  const { user, system } = process.cpuUsage(cpuBefore)
  console.log(JSON.stringify({ seconds, byteLength, cpuSeconds: (user + system) / 1e6, rssBytes: process.resourceUsage().maxRSS * 1024 }))
  process.exit(0)
}

/** Reads every file of a folder, many at a time: `pins.add`, which walks one block at a time, waits a round trip for each. */
async function readTree (fs: ReturnType<typeof unixfs>, root: CID): Promise<number> {
  const entries = fs.ls(root)[Symbol.asyncIterator]()
  const lengths: number[] = []
  await Promise.all(Array.from({ length: PARALLEL_READS }, async () => {
    for (let next = await entries.next(); next.done !== true; next = await entries.next()) lengths.push(await lengthOf(fs.cat(next.value.cid)))
  }))
  return lengths.reduce((sum, length) => sum + length, 0)
}

async function lengthOf (content: AsyncIterable<Uint8Array>): Promise<number> {
  let byteLength = 0
  for await (const piece of content) byteLength += piece.byteLength
  return byteLength
}
