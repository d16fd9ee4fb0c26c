/** What needs public addresses or multicast: each test runs in a network of its own. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { inNamespace } from '../../test/namespace.ts'
import type { Reachability } from '../host.ts'

const world = (name: string): URL => new URL(`../../test/worlds/${name}.ts`, import.meta.url)

test('two hosts on a LAN find each other by mDNS, and one with mDNS off finds nobody', (context) => {
  const result = inNamespace<object>(context, world('mdns'))
  if (result !== undefined) assert.deepEqual(result, { deafPeerCount: 0, firstPeerCount: 1 })
})

test('a host learns by AutoNAT that it can be dialled, and keeps the connection that it asked over', (context) => {
  interface View { readonly reachability: Reachability, readonly addresses: readonly string[] }
  const result = inNamespace<{ before: View, after: View, isStillConnected: boolean, address: string }>(context, world('autonat'), ['5.6.7.8', '9.9.9.9'])
  if (result === undefined) return
  assert.equal(result.before.reachability.state, 'unknown')
  assert.deepEqual(result.before.addresses, [], 'an address that nobody confirmed is not handed out')
  assert.deepEqual(result.after.reachability, { state: 'public', how: 'AutoNAT: 1 peer dialled this node back on /ip4/5.6.7.8/tcp/4001' })
  assert.ok(result.address.startsWith('/ip4/5.6.7.8/tcp/4001/p2p/'))
  assert.equal(result.isStillConnected, true)
})

test('a host that listens nowhere is reached through a relay, which carries pings and no content', (context) => {
  const result = inNamespace<{ before: Reachability, address: string, isRelayed: boolean, latencyMs: number, seenFrom: boolean, failure: string, note: string }>(context, world('relay'), ['1.2.3.4'])
  if (result === undefined) return
  assert.deepEqual(result.before, { state: 'private', how: 'This node listens on no address' })
  assert.match(result.address, /^\/ip4\/1\.2\.3\.4\/tcp\/4001\/p2p\/\w+\/p2p-circuit\/p2p\/\w+$/)
  assert.equal(result.isRelayed, true)
  assert.equal(result.seenFrom, true)
  assert.ok(result.latencyMs > 0)
  assert.match(result.failure, /a relay carries few bytes/)
  assert.equal(result.note, 'few bytes', 'a protocol that is meant for it does run')
})

test('a relayed connection is replaced by a direct one, which carries content', (context) => {
  const result = inNamespace<{ isIntact: boolean, directions: readonly string[] }>(context, world('hole-punching'), ['1.2.3.4', '5.6.7.8', '9.9.9.9'])
  if (result !== undefined) assert.deepEqual(result, { isIntact: true, directions: ['outbound'] })
})
