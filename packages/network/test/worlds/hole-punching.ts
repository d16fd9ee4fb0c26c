/** Somebody with a public address comes in through a relay, and the host that listens nowhere dials it back directly. */
import { noise } from '@chainsafe/libp2p-noise'
import { circuitRelayServer } from '@libp2p/circuit-relay-v2'
import { identify } from '@libp2p/identify'
import { ping } from '@libp2p/ping'
import { tcp } from '@libp2p/tcp'
import { yamux } from '@libp2p/yamux'
import { createLibp2p } from 'libp2p'
import { readAll, until } from '../harness.ts'
import { runWorld } from './world.ts'

const ECHO = '/holdfast/test/echo/1.0.0'

await runWorld(async (open) => {
  const relay = await createLibp2p({
    addresses: { listen: ['/ip4/1.2.3.4/tcp/4001'], announce: ['/ip4/1.2.3.4/tcp/4001'] },
    transports: [tcp()], connectionEncrypters: [noise()], streamMuxers: [yamux()],
    services: { identify: identify(), ping: ping(), relay: circuitRelayServer() }
  })
  const hidden = await open({ relayClient: true, holePunching: true })
  await hidden.handle([ECHO], async (stream) => {
    for await (const bytes of stream.read()) await stream.write([bytes])
    await stream.closeWrite()
  })
  await hidden.connect(`/ip4/1.2.3.4/tcp/4001/p2p/${relay.peerId.toString()}`)
  await until(() => hidden.addresses().some((address) => address.includes('/p2p-circuit')), 10_000)
  const [address = ''] = hidden.addresses()

  const visitor = await open({ listen: ['/ip4/5.6.7.8/tcp/4001'], relayClient: true, holePunching: true, autonat: true })
  const witness = await open({ listen: ['/ip4/9.9.9.9/tcp/4001'], autonat: true })
  await witness.connect(`/ip4/5.6.7.8/tcp/4001/p2p/${visitor.peer}`)
  await until(() => visitor.addresses().length > 0, 10_000)

  await visitor.connect(address)
  await until(() => visitor.peers().some(({ peer, isRelayed }) => peer === hidden.peer && !isRelayed), 10_000)
  await using stream = await visitor.openStream(hidden.peer, [ECHO])
  const sent = Buffer.alloc(1 << 20, 'straight')
  const received = readAll(stream.read())
  await stream.write([sent])
  await stream.closeWrite()
  const isIntact = (await received).equals(sent)
  await relay.stop()
  return { isIntact, directions: hidden.peers().filter(({ peer }) => peer === visitor.peer).map(({ direction }) => direction) }
})
