/** Nodes for the tests of the exchange: a store, a host on loopback and an exchange between them. */
import { MemoryBlockstore, type Blockstore } from '@holdfast/blockstore'
import { Block, CODECS, encodeDagPb, silentLogger } from '@holdfast/core'
import type { FoundProvider, PeerId } from '@holdfast/network'
import type { ContentRouting } from './content-routing.ts'
import { type Exchange, openExchange } from './exchange.ts'
import { farHost, type Line } from './far-host.test.ts'
import { openTcpHost, type TcpHost } from './tcp-host.test.ts'

export interface TestNode extends AsyncDisposable {
  readonly host: TcpHost
  readonly blocks: Blockstore
  readonly exchange: Exchange
}

/** Knows no provider. */
export const NO_ROUTING: ContentRouting = { async * findProviders () {} }

let nodeCount = 0

export interface TestNodeOptions {
  blocks?: Blockstore
  routing?: ContentRouting
  /** What a peer sends comes over this line. */
  lineTo?: (peer: PeerId) => Line
}

export async function openTestNode ({ blocks = new MemoryBlockstore(), routing = NO_ROUTING, ...options }: TestNodeOptions = {}): Promise<TestNode> {
  const host = await openTcpHost(`node-${++nodeCount}`)
  const exchange = await openExchange({ host: options.lineTo === undefined ? host : farHost(host, options.lineTo), routing, blocks, log: silentLogger })
  return {
    host, blocks, exchange,
    async [Symbol.asyncDispose] () {
      await exchange[Symbol.asyncDispose]()
      await host[Symbol.asyncDispose]()
    }
  }
}

export async function connectNodes (from: TestNode, ...others: readonly TestNode[]): Promise<void> {
  for (const { host } of others) await from.host.connect(host.address)
}

/** Content routing that knows these providers of everything. */
export function routingTo (...nodes: readonly TestNode[]): ContentRouting {
  return {
    async * findProviders (): AsyncIterable<FoundProvider> {
      for (const { host } of nodes) yield { peer: host.peer, addresses: [host.address] }
    }
  }
}

/** Blocks with content that is the same on every run, and different for each seed. */
export async function blocksOf (count: number, byteLength: number, seed = 0): Promise<[Block, Block, Block, ...Block[]]> {
  const blocks = await Promise.all(Array.from({ length: count }, async (_, index) => {
    const bytes = new Uint8Array(byteLength).fill((index + seed) % 251)
    new DataView(bytes.buffer).setUint32(0, index * 1000 + seed)
    return await Block.of(bytes)
  }))
  // A test that takes a block it did not ask for fails at once, so the type may promise the first ones.
  return blocks as [Block, Block, Block, ...Block[]]
}

/** A dag node with `count` raw leaves below it. */
export async function treeOf (count: number, byteLength: number): Promise<{ root: Block, blocks: Block[] }> {
  const leaves = await blocksOf(count, byteLength)
  const links = leaves.map(({ cid, bytes }) => ({ cid, name: new Uint8Array(), tsize: bytes.byteLength }))
  const root = await Block.of(encodeDagPb({ links, data: undefined }), { codec: CODECS.dagPb })
  return { root, blocks: [root, ...leaves] }
}
