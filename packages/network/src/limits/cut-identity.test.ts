import { generateKeyPair } from '@libp2p/crypto/keys'
import type { PeerStore } from '@libp2p/interface'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'
import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { MAX_PEER_ADDRESSES, MAX_PEER_PROTOCOLS, MAX_PROTOCOL_CHARACTERS } from '../limits.ts'
import { quietLogger } from '../quiet-logger.ts'
import { cutIdentity } from './cut-identity.ts'

/** The most that identify reads: ten messages of 8 KiB, half of them addresses. */
const ADDRESSES = Array.from({ length: 3_400 }, (_, index) => multiaddr(`/ip4/127.1.${index >> 8}.${index & 255}/tcp/1`))
const PROTOCOLS = Array.from({ length: 2_000 }, (_, index) => `/protocol/${index}`)

async function newPeerStore (context: TestContext): Promise<PeerStore> {
  const node = await createLibp2p({ start: false, logger: quietLogger })
  context.after(async () => { await node.stop() })
  return node.peerStore
}

for (const how of ['patch', 'merge'] as const) {
  test(`the most that a peer can say of itself is cut before the store looks at it, with ${how}`, async (context) => {
    const peerStore = await newPeerStore(context)
    const cut = cutIdentity({ peerStore })
    const peer = peerIdFromPrivateKey(await generateKeyPair('Ed25519'))
    const before = process.threadCpuUsage()
    await cut.peerStore[how](peer, { addresses: ADDRESSES.map((address) => ({ multiaddr: address, isCertified: false })), protocols: ['x'.repeat(MAX_PROTOCOL_CHARACTERS + 1), ...PROTOCOLS], metadata: { AgentVersion: Uint8Array.of(1) } })
    const { user, system } = process.threadCpuUsage(before)
    assert.ok(user + system < 100_000, `${user + system} µs`)
    const row = await peerStore.get(peer)
    assert.equal(row.addresses.length, MAX_PEER_ADDRESSES)
    assert.equal(row.protocols.length, MAX_PEER_PROTOCOLS)
    assert.ok(row.protocols.every(({ length }) => length <= MAX_PROTOCOL_CHARACTERS))
    assert.deepEqual([...row.metadata.keys()], ['AgentVersion'])
  })
}

test('what a peer does not say is left as it is', async (context) => {
  const { peerStore } = cutIdentity({ peerStore: await newPeerStore(context) })
  const peer = peerIdFromPrivateKey(await generateKeyPair('Ed25519'))
  await peerStore.patch(peer, { multiaddrs: ADDRESSES.slice(0, 2), protocols: ['/one'] })
  await peerStore.merge(peer, { protocols: ['/two'] })
  const { addresses, protocols } = await peerStore.get(peer)
  assert.deepEqual([addresses.length, protocols], [2, ['/one', '/two']])
})
