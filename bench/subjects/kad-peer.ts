/**
 * A node with @libp2p/kad-dht and nothing else: `server` or `client`. Prints its address, then answers each line of JSON on its
 * standard input with one: `connect`, `size` of the routing table, `provide`, `find`.
 *
 * The DHT of a LAN, and streams enough that no record is lost.
 */
import { identify } from '@libp2p/identify'
import { type KadDHT, kadDHT, passthroughMapper } from '@libp2p/kad-dht'
import { ping } from '@libp2p/ping'
import { tcp } from '@libp2p/tcp'
import { tls } from '@libp2p/tls'
import { yamux } from '@libp2p/yamux'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'
import { CID } from 'multiformats/cid'
import { createInterface } from 'node:readline'

/** What the benchmark asks. */
export type KadRequest =
  | { readonly do: 'connect', readonly address: string }
  | { readonly do: 'size' }
  | { readonly do: 'provide', readonly cid: string }
  | { readonly do: 'find', readonly cid: string }

const [part = ''] = process.argv.slice(2)
const node = await createLibp2p({
  addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
  transports: [tcp()],
  connectionEncrypters: [tls()],
  streamMuxers: [yamux()],
  connectionManager: { inboundConnectionThreshold: 100, maxIncomingPendingConnections: 100 },
  connectionMonitor: { enabled: false },
  services: {
    identify: identify(),
    ping: ping({ maxInboundStreams: 16, maxOutboundStreams: 16 }),
    dht: kadDHT({ protocol: '/ipfs/lan/kad/1.0.0', clientMode: part === 'client', peerInfoMapper: passthroughMapper, allowQueryWithZeroPeers: true, maxInboundStreams: 512, maxOutboundStreams: 512 })
  }
})
answer({ address: String(node.getMultiaddrs()[0]) })
for await (const line of createInterface(process.stdin)) answer(await run(JSON.parse(line) as KadRequest))
process.exit(0)

async function run (request: KadRequest): Promise<object> {
  switch (request.do) {
    case 'connect':
      await node.dial(multiaddr(request.address))
      return {}
    case 'size': return { size: tableSize(node.services.dht) }
    case 'provide':
      await node.contentRouting.provide(CID.parse(request.cid))
      return {}
    case 'find':
      for await (const { id } of node.contentRouting.findProviders(CID.parse(request.cid))) return { peer: id.toString() }
      return {}
  }
}

/** The routing table is a public field of the library's class, which its interface leaves out. */
function tableSize (dht: KadDHT): number {
  const { routingTable } = dht as KadDHT & { routingTable?: { size: number } }
  return routingTable?.size ?? 0
}

function answer (value: object): void {
  process.stdout.write(`${JSON.stringify(value)}\n`)
}
