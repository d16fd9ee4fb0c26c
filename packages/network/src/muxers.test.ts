import { identify } from '@libp2p/identify'
import type { ConnectionEncrypter, Libp2p, StreamMuxerFactory } from '@libp2p/interface'
import { tcp } from '@libp2p/tcp'
import { tls } from '@libp2p/tls'
import { noise } from '@chainsafe/libp2p-noise'
import { type Ping, ping } from '@libp2p/ping'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'
import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { addressOf, newHost, readAll, until } from '../test/harness.ts'
import { MAX_PING_STREAMS } from './limits.ts'
import { muxers, standardYamux, WIDE_YAMUX } from './muxers.ts'
import { connectionMonitor } from './open-libp2p-host.ts'
import { quietLogger } from './quiet-logger.ts'

const ECHO = '/holdfast/test/echo/1.0.0'

interface StockOptions {
  readonly encrypters: NonNullable<Parameters<typeof createLibp2p>[0]>['connectionEncrypters']
  readonly muxers?: Array<() => StreamMuxerFactory>
  readonly pings?: Parameters<typeof ping>[0]
  readonly monitor?: NonNullable<Parameters<typeof createLibp2p>[0]>['connectionMonitor']
}

/** A plain libp2p with these muxers. */
async function newStock (context: TestContext, { encrypters, muxers: streamMuxers = [standardYamux], monitor = { enabled: false }, pings = { maxInboundStreams: MAX_PING_STREAMS, maxOutboundStreams: MAX_PING_STREAMS } }: StockOptions): Promise<Libp2p<{ ping: Ping }>> {
  const node = await createLibp2p({
    addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
    logger: quietLogger,
    transports: [tcp()],
    connectionEncrypters: encrypters ?? [],
    streamMuxers,
    connectionMonitor: monitor,
    services: { identify: identify(), ping: ping(pings) }
  })
  context.after(async () => { await node.stop() })
  return node
}

/** Our muxers, which note the name of each that is made. */
function watchedMuxers (made: string[], order: 'ours' | 'reversed' = 'ours'): Array<() => StreamMuxerFactory> {
  const factories = muxers().map((make) => () => {
    const factory = make()
    const create = factory.createStreamMuxer.bind(factory)
    factory.createStreamMuxer = (link) => {
      made.push(factory.protocol)
      return create(link)
    }
    return factory
  })
  return order === 'ours' ? factories : factories.toReversed()
}

for (const [name, encrypters] of Object.entries({ tls: [tls()], noise: [noise()] })) {
  test(`trap 23: two nodes with our list agree on the wide window over ${name}`, async (context) => {
    const made: string[] = []
    const [one, other] = [await newStock(context, { encrypters, muxers: watchedMuxers(made) }), await newStock(context, { encrypters, muxers: watchedMuxers(made) })]
    await one.dial(other.getMultiaddrs())
    await until(() => made.length === 2)
    assert.deepEqual(made, [WIDE_YAMUX, WIDE_YAMUX])
  })

  test(`trap 9: 8 MiB go both ways to a peer with the standard window over ${name}`, async (context) => {
    const [host, stock] = [await newHost(context), await newStock(context, { encrypters })]
    await stock.handle(ECHO, (stream) => { stream.addEventListener('message', ({ data }) => { stream.send(data) }); stream.addEventListener('remoteCloseWrite', () => { void stream.close() }) })
    const peer = await host.connect(String(stock.getMultiaddrs()[0]))
    await using stream = await host.openStream(peer, [ECHO])
    const sent = Buffer.alloc(8 << 20, 'standard')
    const received = readAll(stream.read())
    for (let at = 0; at < sent.byteLength; at += 1 << 20) await stream.write([sent.subarray(at, at + (1 << 20))])
    await stream.closeWrite()
    assert.ok((await received).equals(sent))
  })

  test(`a peer that knows only ${name} reaches us`, async (context) => {
    const [host, stock] = [await newHost(context), await newStock(context, { encrypters })]
    await stock.dial(multiaddr(addressOf(host)))
    await until(() => host.peers().length === 1)
    assert.equal(host.peers()[0]?.encryption, name === 'tls' ? '/tls/1.0.0' : '/noise')
  })
}

test('trap 23, as it is: with Noise, lists in another order give two windows on one connection', async (context) => {
  // The reason why there is one list. Should this fail, the library has learnt to agree.
  const [made, madeReversed]: [string[], string[]] = [[], []]
  const encrypters: Array<(components: Parameters<ReturnType<typeof noise>>[0]) => ConnectionEncrypter> = [noise()]
  const [one, other] = [await newStock(context, { encrypters, muxers: watchedMuxers(made) }), await newStock(context, { encrypters, muxers: watchedMuxers(madeReversed, 'reversed') })]
  await one.dial(other.getMultiaddrs()).catch(() => {})
  await until(() => made.length + madeReversed.length === 2)
  assert.notDeepEqual(made, madeReversed)
})

/** Pings without a pause for 5 s, or until the connection has ended, and tells how the connection is then. */
async function pingWithoutPause (context: TestContext, options: Partial<StockOptions>): Promise<string> {
  const encrypters = [tls()]
  const [one, other] = [await newStock(context, { encrypters, ...options }), await newStock(context, { encrypters })]
  const connection = await one.dial(other.getMultiaddrs())
  const endMs = performance.now() + 5_000
  while (performance.now() < endMs && connection.status === 'open') await Promise.allSettled([1, 2, 3].map(async () => await one.services.ping.ping(other.peerId, { signal: AbortSignal.timeout(500) })))
  return connection.status
}

test('trap 2: pings of the monitor and of others at the same time do not end a connection', async (context) => {
  assert.equal(await pingWithoutPause(context, { monitor: { ...connectionMonitor, pingInterval: 50 } }), 'open')
})

test('trap 2, as it is: with the options of the library they do', async (context) => {
  // The reason for our options. Should this fail, the library has learnt to tell a collision from a dead peer.
  assert.notEqual(await pingWithoutPause(context, { monitor: { pingInterval: 50 }, pings: {} }), 'open')
})
