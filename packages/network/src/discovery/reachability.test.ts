import assert from 'node:assert/strict'
import { test } from 'node:test'
import { addressOf, newHost, until } from '../../test/harness.ts'
import { INBOUND_PROOF_MS, MAX_DIAL_BACK_RESULTS } from './discovery-limits.ts'
import { ObservedHosts } from './observed-hosts.ts'
import { Rate } from './rate.ts'
import { type ReachabilityFacts, reachabilityOf } from './reachability.ts'
import { ReachabilityWatch } from './reachability-watch.ts'

const ADDRESS = '/ip4/5.6.7.8/tcp/4001'
const NOTHING: ReachabilityFacts = { mode: 'public', asksPeers: true, listens: true, publicAddresses: [], dialBacks: [], inbound: undefined, publicPeerCount: 0, nowMs: INBOUND_PROOF_MS * 2 }

for (const [what, facts, state, how] of [
  ['nobody is connected', {}, 'unknown', 'No peer outside of this LAN is connected'],
  ['the network is lan', { mode: 'lan', publicPeerCount: 3, publicAddresses: [ADDRESS] }, 'unknown', 'The network is lan: nobody outside is asked'],
  ['it listens nowhere', { listens: false, publicPeerCount: 3 }, 'private', 'This node listens on no address'],
  ['it has no public address', { publicPeerCount: 3 }, 'private', 'No public address of this node is known, and nobody dialled it'],
  ['peers were asked and have not answered', { publicPeerCount: 3, publicAddresses: [ADDRESS] }, 'unknown', 'Too few peers have answered yet whether they can dial this node'],
  ['nobody is asked', { asksPeers: false, publicPeerCount: 3, publicAddresses: [ADDRESS] }, 'unknown', 'AutoNAT is off, and nobody dialled this node'],
  ['one peer dialled back', { dialBacks: [{ address: ADDRESS, wasReached: true, peerCount: 1 }] }, 'public', `AutoNAT: 1 peer dialled this node back on ${ADDRESS}`],
  ['four peers dialled back', { publicPeerCount: 9, dialBacks: [{ address: ADDRESS, wasReached: true, peerCount: 4 }] }, 'public', `AutoNAT: 4 peers dialled this node back on ${ADDRESS}`],
  ['eight peers could not', { publicPeerCount: 9, dialBacks: [{ address: ADDRESS, wasReached: false, peerCount: 8 }] }, 'private', `AutoNAT: 8 peers could not dial this node back on ${ADDRESS}`],
  ['one of two addresses was reached', { dialBacks: [{ address: ADDRESS, wasReached: true, peerCount: undefined }, { address: '/ip4/5.6.7.9/tcp/1', wasReached: false, peerCount: 8 }] }, 'public', `AutoNAT: peers dialled this node back on ${ADDRESS}`],
  ['somebody came from outside', { inbound: { address: '/ip4/9.9.9.9/tcp/1', atMs: INBOUND_PROOF_MS + 1 } }, 'public', 'A peer dialled this node from /ip4/9.9.9.9/tcp/1'],
  ['somebody came, while AutoNAT failed', { inbound: { address: '/ip4/9.9.9.9/tcp/1', atMs: INBOUND_PROOF_MS + 1 }, dialBacks: [{ address: ADDRESS, wasReached: false, peerCount: 8 }] }, 'public', 'A peer dialled this node from /ip4/9.9.9.9/tcp/1'],
  ['somebody came long ago', { publicPeerCount: 1, inbound: { address: '/ip4/9.9.9.9/tcp/1', atMs: 0 } }, 'private', 'No public address of this node is known, and nobody dialled it']
] as const) {
  test(`a node is ${state} when ${what}`, () => {
    assert.deepEqual(reachabilityOf({ ...NOTHING, ...facts }), { state, how })
  })
}

test('a later result for an address replaces the earlier one, and few are kept', () => {
  const watch = new ReachabilityWatch({ mode: 'public', asksPeers: true, listens: true })
  watch.noteDialBack({ address: ADDRESS, wasReached: true, peerCount: 4 })
  assert.equal(watch.reachability().state, 'public')
  watch.noteDialBack({ address: ADDRESS, wasReached: false, peerCount: 8 })
  assert.equal(watch.reachability().state, 'private')
  watch.noteDialBack({ address: ADDRESS, wasReached: true, peerCount: 4 })
  for (let port = 0; port < MAX_DIAL_BACK_RESULTS; port++) watch.noteDialBack({ address: `${ADDRESS}${port}`, wasReached: false, peerCount: 8 })
  assert.equal(watch.reachability().state, 'private')
})

test('a node that is dialled over loopback learns nothing about the world', async (context) => {
  const [host, visitor] = [await newHost(context, { mode: 'public', autonat: true }), await newHost(context)]
  await visitor.connect(addressOf(host))
  await until(() => host.peers().some(({ protocols }) => protocols.length > 0))
  assert.deepEqual(host.reachability(), { state: 'unknown', how: 'No peer outside of this LAN is connected' })
})

test('dials for others are bounded, in all and for each peer', () => {
  let nowMs = 0
  const rate = new Rate({ maxCount: 3, maxPerKey: 2, windowMs: 1000 }, () => nowMs)
  assert.deepEqual(['a', 'a', 'a', 'b', 'c'].map((key) => rate.take(key)), [true, true, false, true, false])
  nowMs = 1000
  assert.deepEqual(['a', 'c'].map((key) => rate.take(key)), [true, true])
})

test('an address of this node counts when two networks name it, once', () => {
  const hosts = new ObservedHosts()
  assert.deepEqual([hosts.note('5.6.7.8', '1.2.3.4'), hosts.note('5.6.7.8', '1.2.9.9'), hosts.note('5.6.7.8', '9.9.9.9'), hosts.note('5.6.7.8', '8.8.8.8')], [false, false, true, false])
})

test('however many addresses peers name, few are held', () => {
  const hosts = new ObservedHosts()
  hosts.note('5.6.7.8', '1.2.3.4')
  for (let index = 0; index < 1000; index++) hosts.note(`6.6.${index >> 8}.${index & 255}`, '1.2.3.4')
  assert.equal(hosts.note('5.6.7.8', '9.9.9.9'), false, 'the first one was forgotten')
})
