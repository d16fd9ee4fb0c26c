import { type Blockstore, MemoryBlockstore } from '@holdfast/blockstore'
import { silentLogger } from '@holdfast/core'
import { type Exchange, openExchange } from '@holdfast/exchange'
import { type NetworkHost, NO_DISCOVERY, openHost, openIdentity } from '@holdfast/network'
import assert from 'node:assert/strict'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { atEnd, newFolder } from '../harness.ts'

/** The network half of a node of ours, in the process of the test. */
export interface Node {
  readonly host: NetworkHost
  readonly blocks: Blockstore
  readonly exchange: Exchange
  readonly address: string
}

/** Starts one on loopback, on a store in memory unless another is given; it ends with the test. */
export async function startOurs (context: TestContext, blocks: Blockstore = new MemoryBlockstore()): Promise<Node> {
  const identity = await openIdentity(join(await newFolder(context), 'identity.key'))
  const host = await openHost({ identity, log: silentLogger }, { mode: 'lan', listen: ['/ip4/127.0.0.1/tcp/0'], dht: 'off', ...NO_DISCOVERY })
  const exchange = await openExchange({ host, routing: { async * findProviders () {} }, blocks, log: silentLogger })
  atEnd(context, async () => {
    await exchange[Symbol.asyncDispose]()
    await host[Symbol.asyncDispose]()
  })
  const [address] = host.addresses()
  assert.ok(address !== undefined)
  return { host, blocks, exchange, address }
}
