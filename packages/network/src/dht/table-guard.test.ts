import { isErrorCode } from '@holdfast/core'
import { multiaddr } from '@multiformats/multiaddr'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { addressOf, newHost, until } from '../../test/harness.ts'
import { newKadNode } from '../../test/kad-node.ts'
import { addressGroup } from '../limits/address-group.ts'
import { TableGuard } from './table-guard.ts'

const SELF = Uint8Array.of(0)

/** Peers whose ids are made up one after the other. */
function admitAll (guard: TableGuard, ip: string, count: number, firstId = 1): string[] {
  const admitted: string[] = []
  for (let id = firstId; id < firstId + count; id++) {
    try {
      guard.admit({ peer: String(id), id: Uint8Array.of(id >> 8, id & 0xff), group: addressGroup(ip) })
      guard.added(String(id))
      admitted.push(String(id))
    } catch (err) {
      assert.ok(isErrorCode(err, 'LIMIT'), String(err))
    }
  }
  return admitted
}

test('T2.3-a: of a hundred peers of one /24, with ids at will, three get into the table', () => {
  const guard = new TableGuard(SELF)
  assert.equal(admitAll(guard, '192.0.2.1', 100).length, 3)
  assert.equal(admitAll(guard, '::ffff:192.0.2.200', 100, 101).length, 0, 'the same network in other clothes')
  assert.equal(admitAll(guard, '2001:db8:1::1', 100, 201).length, 3)
  assert.equal(admitAll(guard, '2001:db8:1:ffff::1', 100, 301).length, 0)
})

test('two of one group get into one bucket', () => {
  const guard = new TableGuard(SELF)
  const group = addressGroup('192.0.2.1')
  // The same id is in the same bucket, whatever that is.
  for (const peer of ['a', 'b']) guard.admit({ peer, id: Uint8Array.of(7), group })
  assert.throws(() => { guard.admit({ peer: 'c', id: Uint8Array.of(7), group }) }, (err) => isErrorCode(err, 'LIMIT'))
  guard.admit({ peer: 'd', id: Uint8Array.of(7), group: addressGroup('198.51.100.1') })
})

test('who left the table makes room, and so does who never came into it', () => {
  let nowMs = 0
  const guard = new TableGuard(SELF, { now: () => nowMs })
  const [first] = admitAll(guard, '192.0.2.1', 100)
  assert.ok(first !== undefined)
  guard.removed(first)
  guard.admit({ peer: 'never', id: Uint8Array.of(Number(first)), group: addressGroup('192.0.2.9') })
  assert.equal(admitAll(guard, '192.0.2.1', 100, 1000).length, 0)
  nowMs += 60_000
  assert.equal(admitAll(guard, '192.0.2.1', 100, 1000).length, 1)
})

test('who is in the table stays, connected or not', () => {
  const guard = new TableGuard(SELF)
  admitAll(guard, '192.0.2.1', 1)
  assert.equal(guard.has('1'), true)
  guard.admit({ peer: '1', id: Uint8Array.of(1), group: undefined })
})

test('machines of this house and programs of this machine are not counted', () => {
  assert.equal(admitAll(new TableGuard(SELF), '192.168.1.1', 100).length, 100)
  assert.equal(admitAll(new TableGuard(SELF), '127.0.0.1', 100).length, 100)
  assert.equal(admitAll(new TableGuard(SELF, { limitLoopback: true }), '127.0.0.1', 100).length, 3)
})

test('a peer behind a relay does not get into the table', () => {
  assert.throws(() => { new TableGuard(SELF).admit({ peer: 'a', id: Uint8Array.of(1), group: undefined }) }, (err) => isErrorCode(err, 'UNAVAILABLE'))
})

test('servers of one network do not fill the table of a node, and its members are known as such', async (context) => {
  const [free, bounded] = [await newKadNode(context, { limitLoopback: false }), await newKadNode(context, { limitLoopback: true })]
  for (let count = 0; count < 6; count++) {
    const server = await newHost(context, { dht: 'server' })
    for (const { node } of [bounded, free]) await node.dial(multiaddr(addressOf(server)))
  }
  await until(() => free.network.serverCount() === 6)
  await until(() => bounded.network.serverCount() >= 2)
  // Those that were refused are tried again with each message of theirs.
  for (let count = 0; count < 3; count++) for await (const _ of bounded.network.dht().getClosestPeers(Uint8Array.of(count))) { /* Only walk. */ }
  assert.ok(bounded.network.serverCount() <= 3, `${bounded.network.serverCount()} in the table`)
  assert.equal(bounded.node.getPeers().filter((peer) => bounded.network.isInTable(peer.toString())).length, bounded.network.serverCount())
})
