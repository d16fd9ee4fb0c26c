import { HoldfastError, silentLogger } from '@holdfast/core'
import type { PeerId } from '@holdfast/network'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ExchangeHost } from '../exchange-host.ts'
import { blocksOf, openTestNode, routingTo } from '../nodes.test.ts'
import { until } from '../raw-peer.test.ts'
import { ProviderSearch } from './provider-search.ts'

/** Refuses the first connections. */
function refusing (host: ExchangeHost, refusalCount: number): ExchangeHost {
  let count = 0
  return {
    peer: host.peer,
    peers: () => host.peers(),
    isConnected: (peer) => host.isConnected(peer),
    connect: async (address, options) => {
      if (count++ < refusalCount) throw new HoldfastError('UNAVAILABLE', 'Refused on purpose')
      return await host.connect(address, options)
    },
    openStream: async (peer, protocols, options) => await host.openStream(peer, protocols, options),
    handle: async (protocols, handler, options) => await host.handle(protocols, handler, options),
    watchPeers: (watcher) => host.watchPeers(watcher),
    addKnownAddresses: async (peer, addresses) => { await host.addKnownAddresses(peer, addresses) },
    holdBytes: (peer) => host.holdBytes(peer),
    allowBytes: (peer, maxBytes) => host.allowBytes(peer, maxBytes)
  }
}

for (const { refusalCount, isFound } of [{ refusalCount: 2, isFound: true }, { refusalCount: 3, isFound: false }]) {
  test(`a provider that refused ${refusalCount} times is ${isFound ? 'dialled again by the next search' : 'left alone'}`, async () => {
    await using holder = await openTestNode()
    await using node = await openTestNode()
    const found: PeerId[] = []
    using search = new ProviderSearch({ host: refusing(node.host, refusalCount), routing: routingTo(holder), log: silentLogger }, (peer) => { found.push(peer) })
    for (const { cid } of await blocksOf(4, 10)) {
      search.start(cid)
      await until(() => search.report.routing.startsWith('done') && (found.length > 0 || search.report.dialsFailed.length > 0))
      await new Promise((resolve) => { setImmediate(resolve) })
    }
    if (isFound) await until(() => found.length > 0)
    assert.deepEqual(found, isFound ? [holder.host.peer] : [])
    assert.deepEqual(search.report.dialsFailed.map(({ peer, reason }) => ({ peer, reason })), isFound ? [] : [{ peer: holder.host.peer, reason: 'Refused on purpose' }])
  })
}
