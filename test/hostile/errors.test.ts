/** Addresses that cannot be, or lead elsewhere than they say: what a person gets to read. */
import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { startNode, type TestNode } from '../harness.ts'
import { addressOf } from './arena.ts'

/** Well formed, and the id of nobody. */
const STRANGER = '12D3KooWLQzUv2FHWGVPXTXSZpdHs7oHbXub2G5WC8Tx4NQhyd2d'

interface Row {
  readonly address: string
  readonly status: number
  /** What the message has to name. */
  readonly says: readonly RegExp[]
  readonly why: string
}

async function startPair (context: TestContext): Promise<[TestNode, TestNode]> {
  return await Promise.all([startNode(context, { flags: ['--network', 'lan'] }), startNode(context, { flags: ['--network', 'lan'] })])
}

test('an address that leads nowhere, or to somebody else, is refused with what is wrong about it', async (context) => {
  const [node, other] = await startPair(context)
  const [own, others] = [addressOf(node), addressOf(other)]
  const named = (text: string): RegExp => new RegExp(text.replaceAll('/', String.raw`\/`))
  const rows: readonly Row[] = [
    { why: 'not an address at all', address: 'nonsense', status: 2, says: [/nonsense is not a peer id/] },
    { why: 'no peer id', address: '/ip4/127.0.0.1/tcp/1', status: 2, says: [/does not say which peer/, /\/p2p\//] },
    { why: 'a number that no address has', address: `/ip4/999.0.0.1/tcp/1/p2p/${STRANGER}`, status: 2, says: [/999\.0\.0\.1/, /is not a multiaddr/] },
    { why: 'a port that no socket has', address: `/ip4/127.0.0.1/tcp/70000/p2p/${STRANGER}`, status: 2, says: [/70000/] },
    { why: 'half a peer id', address: '/ip4/127.0.0.1/tcp/1/p2p/12D3KooW', status: 2, says: [/12D3KooW/] },
    { why: 'longer than any address', address: `/dns4/${'a.'.repeat(2000)}example/tcp/1/p2p/${STRANGER}`, status: 2, says: [/…/] },
    { why: 'a transport that this node lacks', address: `/ip4/127.0.0.1/udp/1/quic-v1/p2p/${STRANGER}`, status: 6, says: [named(STRANGER), /dial/] },
    { why: 'this node itself', address: own, status: 2, says: [/itself/] },
    { why: 'this node itself, under its id alone', address: node.ready.peerId, status: 2, says: [/itself/] },
    { why: 'the own address, announced by somebody else', address: own.replace(node.ready.peerId, STRANGER), status: 6, says: [named(STRANGER), /this node itself is at this address/] },
    { why: 'the address of another peer', address: others.replace(other.ready.peerId, STRANGER), status: 6, says: [named(STRANGER), named(other.ready.peerId)] },
    { why: 'nobody listens', address: `/ip4/127.0.0.1/tcp/1/p2p/${STRANGER}`, status: 6, says: [/\/ip4\/127\.0\.0\.1\/tcp\/1/, /ECONNREFUSED|refused/] },
    { why: 'a peer of which no address is known', address: STRANGER, status: 6, says: [named(STRANGER), /no address of this peer is known/] }
  ]
  for (const { address, status, says, why } of rows) {
    await context.test(why, async () => {
      const result = await node.run(['connect', address])
      assert.match(result.stderr, /^Error: /)
      for (const pattern of says) assert.match(result.stderr, pattern)
      assert.doesNotMatch(result.stderr, /^\s+at /m)
      assert.equal(result.status, status, result.stderr)
    })
  }
  assert.equal(await node.ok(['peers']), '')
  assert.equal(await node.ok(['connect', others]), `connected ${other.ready.peerId}`)
})
