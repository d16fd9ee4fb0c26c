/**
 * Helia in a process of its own, on loopback, with Bitswap as its only way to fetch.
 *
 * Its argument is the folder of a store of ours, if it shall use one. Prints a line of JSON when it listens, then answers each line of JSON on its standard input with one: see `HeliaRequest`.
 */
import { withBitswap } from '@helia/bitswap'
import { withLibp2pLight } from '@helia/libp2p'
import { unixfs } from '@helia/unixfs'
import { interfaceBlockstore } from '@holdfast/blockstore/interface'
import { openPackBlockstore } from '@holdfast/blockstore/pack'
import { decode as decodePb } from '@ipld/dag-pb'
import { identify } from '@libp2p/identify'
import { tcp } from '@libp2p/tcp'
import { tls } from '@libp2p/tls'
import { yamux } from '@libp2p/yamux'
import { multiaddr } from '@multiformats/multiaddr'
import { createHeliaLight } from 'helia'
import { CID } from 'multiformats/cid'
import * as raw from 'multiformats/codecs/raw'
import { sha256 } from 'multiformats/hashes/sha2'
import { createHash } from 'node:crypto'
import { createInterface } from 'node:readline'
import { patternOf } from './pattern.ts'

/** Files that are read at once: one after the other, the 10 ms that Helia gathers wants for would be the whole test. */
const CONCURRENT_FILES = 32

/** What a test may ask of it. */
export type HeliaRequest =
  | { readonly do: 'add-file', readonly byteLength: number }
  | { readonly do: 'add-tree', readonly fileCount: number }
  | { readonly do: 'connect', readonly address: string }
  | { readonly do: 'cat', readonly cid: string }
  | { readonly do: 'cat-tree', readonly cid: string }
  | { readonly do: 'follow-chain', readonly cid: string }
  /** Stores the pattern of each length as one raw block. */
  | { readonly do: 'put-blocks', readonly byteLengths: readonly number[] }
  /** Gives up a file, and hangs up, once so many bytes were read. */
  | { readonly do: 'cat-some', readonly cid: string, readonly byteLength: number }

// The folder of a store of ours to work on; without one Helia has its own, in memory.
const [, , folder] = process.argv
const blockstore = folder === undefined ? undefined : interfaceBlockstore(await openPackBlockstore(folder, { reserveBytes: 0 }))

const node = await withBitswap(withLibp2pLight(createHeliaLight(blockstore === undefined ? {} : { blockstore }), {
  addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
  transports: [tcp()],
  connectionEncrypters: [tls()],
  streamMuxers: [yamux()],
  services: { identify: identify() }
})).start()
const fs = unixfs(node)
answer({ address: node.libp2p.getMultiaddrs()[0]?.toString() })

for await (const line of createInterface(process.stdin)) {
  try {
    answer(await run(JSON.parse(line) as HeliaRequest))
  } catch (err) {
    answer({ error: String(err) })
  }
}
process.exit(0)

async function run (request: HeliaRequest): Promise<object> {
  switch (request.do) {
    case 'add-file': return { cid: (await fs.addBytes(patternOf(request.byteLength))).toString() }
    case 'add-tree': return { cid: await addTree(request.fileCount) }
    case 'connect':
      await node.libp2p.dial(multiaddr(request.address))
      return {}
    case 'cat': return await digestOf(fs.cat(CID.parse(request.cid)))
    case 'cat-tree': return await catTree(CID.parse(request.cid))
    case 'follow-chain': return await followChain(CID.parse(request.cid))
    case 'put-blocks': return { cids: await putBlocks(request.byteLengths) }
    case 'cat-some': return await catSome(CID.parse(request.cid), request.byteLength)
  }
}

async function addTree (fileCount: number): Promise<string> {
  let root = ''
  const files = Array.from({ length: fileCount }, (_, index) => ({ path: `tree/${index}`, content: patternOf(1000 + index) }))
  for await (const { cid } of fs.addAll(files)) root = cid.toString()
  return root
}

async function catTree (root: CID): Promise<object> {
  const entries = await Array.fromAsync(fs.ls(root))
  const names: string[] = []
  for (let at = 0; at < entries.length; at += CONCURRENT_FILES) {
    const read = entries.slice(at, at + CONCURRENT_FILES).map(async ({ name, cid }) => `${name} ${(await digestOf(fs.cat(cid))).digest}`)
    names.push(...await Promise.all(read))
  }
  return { fileCount: names.length, names }
}

async function followChain (root: CID): Promise<object> {
  let blockCount = 0
  for (let cid: CID | undefined = root; cid !== undefined; blockCount++) {
    const bytes = Buffer.concat(await Array.fromAsync(node.blockstore.get(cid)))
    cid = cid.code === 0x70 ? decodePb(bytes).Links[0]?.Hash : undefined
  }
  return { blockCount }
}

async function putBlocks (byteLengths: readonly number[]): Promise<string[]> {
  const cids: string[] = []
  for (const byteLength of byteLengths) {
    const bytes = patternOf(byteLength)
    const cid = CID.createV1(raw.code, await sha256.digest(bytes))
    await node.blockstore.put(cid, bytes)
    cids.push(cid.toString())
  }
  return cids
}

async function catSome (cid: CID, byteLength: number): Promise<object> {
  const controller = new AbortController()
  let readBytes = 0
  try {
    for await (const piece of fs.cat(cid, { signal: controller.signal })) {
      readBytes += piece.byteLength
      if (readBytes < byteLength) continue
      controller.abort()
      for (const connection of node.libp2p.getConnections()) connection.abort(new Error('The test hangs up'))
    }
  } catch (err) {
    if (!controller.signal.aborted) throw err
  }
  return { byteLength: readBytes }
}

async function digestOf (content: AsyncIterable<Uint8Array>): Promise<{ digest: string, byteLength: number }> {
  const hash = createHash('sha256')
  let byteLength = 0
  for await (const piece of content) {
    hash.update(piece)
    byteLength += piece.byteLength
  }
  return { digest: hash.digest('hex'), byteLength }
}

function answer (value: object): void {
  process.stdout.write(`${JSON.stringify(value)}\n`)
}
