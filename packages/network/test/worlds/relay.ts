/** A relay, a host that listens nowhere, and a visitor with a public address. With `holePunching` the visitor's way in becomes direct. */
import { noise } from '@chainsafe/libp2p-noise'
import { autoNAT } from '@libp2p/autonat'
import { circuitRelayServer } from '@libp2p/circuit-relay-v2'
import { identify } from '@libp2p/identify'
import { ping } from '@libp2p/ping'
import { tcp } from '@libp2p/tcp'
import { yamux } from '@libp2p/yamux'
import { createLibp2p } from 'libp2p'
import type { PeerStream } from '../../src/index.ts'
import { readAll, until } from '../harness.ts'
import { runWorld } from './world.ts'

const ECHO = '/holdfast/test/echo/1.0.0'
const NOTE = '/holdfast/test/note/1.0.0'

await runWorld(async (open) => {
  const relay = await createLibp2p({
    addresses: { listen: ['/ip4/1.2.3.4/tcp/4001'], announce: ['/ip4/1.2.3.4/tcp/4001'] },
    transports: [tcp()], connectionEncrypters: [noise()], streamMuxers: [yamux()],
    services: { identify: identify(), ping: ping(), relay: circuitRelayServer(), autonat: autoNAT() }
  })
  const relayAddress = `/ip4/1.2.3.4/tcp/4001/p2p/${relay.peerId.toString()}`
  const hidden = await open({ relayClient: true })
  const before = hidden.reachability()
  await hidden.handle([ECHO], async (stream) => { await stream.closeWrite() })
  const sayNote = async (stream: PeerStream): Promise<void> => {
    await stream.write([Buffer.from('few bytes')])
    await stream.closeWrite()
  }
  await hidden.handle([NOTE], sayNote, { runOnRelayed: true })
  await hidden.connect(relayAddress)
  await until(() => hidden.addresses().some((address) => address.includes('/p2p-circuit')), 10_000)
  const [address = ''] = hidden.addresses()

  const visitor = await open({ relayClient: true })
  await visitor.handle([NOTE], sayNote, { runOnRelayed: true })
  await visitor.connect(address)
  await until(() => visitor.peers().some(({ peer, protocols, latencyMs }) => peer === hidden.peer && protocols.length > 0 && latencyMs !== undefined), 10_000)
  const shown = visitor.peers().find(({ peer }) => peer === hidden.peer)
  const failure = await visitor.openStream(hidden.peer, [ECHO]).then(() => undefined, (err: unknown) => err instanceof Error ? err.message : String(err))
  await using stream = await visitor.openStream(hidden.peer, [NOTE])
  const note = String(await readAll(stream.read()))
  await relay.stop()
  return { before, address, isRelayed: shown?.isRelayed, latencyMs: shown?.latencyMs, seenFrom: hidden.peers().find(({ peer }) => peer === visitor.peer)?.isRelayed, failure, note }
})
