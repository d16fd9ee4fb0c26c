/**
 * Many peers in one process: bare libp2p hosts that keep a connection and say that they speak Bitswap, and do nothing.
 * `COUNT`; prints their addresses. They send no pings of their own, as Kubo sends none; yamux keeps the connection alive.
 */
import { identify } from '@libp2p/identify'
import { ping } from '@libp2p/ping'
import { tcp } from '@libp2p/tcp'
import { tls } from '@libp2p/tls'
import { yamux } from '@libp2p/yamux'
import { createLibp2p } from 'libp2p'

const [count = ''] = process.argv.slice(2)
const addresses: string[] = []
for (let index = 0; index < Number(count); index++) {
  const node = await createLibp2p({
    addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
    transports: [tcp()],
    connectionEncrypters: [tls()],
    streamMuxers: [yamux()],
    connectionMonitor: { enabled: false },
    services: { identify: identify(), ping: ping() }
  })
  await node.handle('/ipfs/bitswap/1.2.0', async (stream) => { await stream.close() })
  addresses.push(String(node.getMultiaddrs()[0]))
}
console.log(JSON.stringify({ addresses }))
