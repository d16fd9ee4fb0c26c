/**
 * Rows of the public conformance suite v0.14 for `Ipfs-Uri` (IPIP-0548). Its fixtures are built here from the names.
 */
import { MemoryBlockstore } from '@holdfast/blockstore'
import { Block, CODECS, encodeDagPb, silentLogger } from '@holdfast/core'
import { encodeUnixFs } from '@holdfast/dag'
import type { CID } from 'multiformats/cid'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createGateway, type Gateway } from './gateway.ts'
import { ask, conformance, gatewayOver, testRows } from './harness.test.ts'

const blocks = new MemoryBlockstore()

async function file (text: string): Promise<CID> {
  const block = await Block.of(Buffer.from(text))
  await blocks.put(block)
  return block.cid
}

async function directory (entries: Readonly<Record<string, CID>>, version: 0 | 1 = 1): Promise<CID> {
  const links = Object.entries(entries).map(([name, cid]) => ({ name: Buffer.from(name), cid, tsize: 1 }))
  links.sort((a, b) => Buffer.compare(a.name, b.name))
  const block = await Block.of(encodeDagPb({ links, data: encodeUnixFs({ type: 'directory' }) }), { codec: CODECS.dagPb, version })
  await blocks.put(block)
  return block.cid
}

const plain = await file('plain\n')
const nested = await file('nested\n')
const shadow = await file('shadow\n')
const tricky = await file('tricky\n')
const root = await directory({
  'plain.txt': plain,
  'a#b?c.txt': tricky,
  'emoji🚀.txt': tricky,
  'sub dir': await directory({ "file!'()*~.txt": tricky }),
  a: await directory({ 'b.txt': nested }),
  'a/b.txt': shadow
})
const rootV0 = root.toV0()

const C = root.toString()
const gateway: Promise<Gateway> = Promise.resolve(createGateway({ blocks, log: silentLogger, legacyXIpfsPath: true }))

testRows('TestGatewayIpfsUri', gateway, {
  'a file by its CID has no path': { target: `/ipfs/${plain}`, expect: { 'Ipfs-Uri': `ipfs://${plain}` }, body: 'plain\n' },
  'a directory keeps its slash': { target: `/ipfs/${C}/sub%20dir/`, expect: { 'Ipfs-Uri': `ipfs://${C}/sub%20dir/` } },
  'all but unreserved characters are encoded': { target: `/ipfs/${C}/sub%20dir/file%21%27%28%29%2A~.txt`, expect: { 'Ipfs-Uri': `ipfs://${C}/sub%20dir/file%21%27%28%29%2A~.txt` }, body: 'tricky\n' },
  'however the request spelled them': { target: `/ipfs/${C}/sub%20dir/file!'()*%7E%2etxt`, expect: { 'Ipfs-Uri': `ipfs://${C}/sub%20dir/file%21%27%28%29%2A~.txt` }, body: 'tricky\n' },
  'dots are resolved': { target: `/ipfs/${C}/a%2F..%2Fplain%2Etxt`, expect: { 'Ipfs-Uri': `ipfs://${C}/plain.txt` }, body: 'plain\n' },
  'a nested path': { target: `/ipfs/${C}/a/b.txt`, expect: { 'Ipfs-Uri': `ipfs://${C}/a/b.txt` }, body: 'nested\n' },
  'is not shadowed by a name with a slash': { target: `/ipfs/${C}/a%2Fb.txt`, expect: { 'Ipfs-Uri': `ipfs://${C}/a/b.txt` }, body: 'nested\n' },
  'the query is no part of it': { target: `/ipfs/${C}/plain.txt?filename=download.txt&format=raw`, expect: { 'Ipfs-Uri': `ipfs://${C}/plain.txt` } },
  'delimiters of URLs': { target: `/ipfs/${C}/a%23b%3Fc.txt`, expect: { 'Ipfs-Uri': `ipfs://${C}/a%23b%3Fc.txt`, 'X-Ipfs-Path': `/ipfs/${C}/a#b?c.txt` }, body: 'tricky\n' },
  'characters beyond ASCII': { target: `/ipfs/${C}/emoji%F0%9F%9A%80.txt`, expect: { 'Ipfs-Uri': `ipfs://${C}/emoji%F0%9F%9A%80.txt`, 'X-Ipfs-Path': undefined }, body: 'tricky\n' },
  'a redirect names what was asked for': { target: `/ipfs/${C}`, status: 301, expect: { 'Ipfs-Uri': `ipfs://${C}`, Location: `/ipfs/${C}/` } },
  'so does an error': { target: `/ipfs/${C}/nothing%20here`, status: 404, expect: { 'Ipfs-Uri': `ipfs://${C}/nothing%20here` } },
  'and 304': { target: `/ipfs/${plain}`, headers: { 'If-None-Match': '*' }, status: 304, expect: { 'Ipfs-Uri': `ipfs://${plain}` } },
  'CIDv0 is written as v1': { target: `/ipfs/${rootV0}/plain.txt`, expect: { 'Ipfs-Uri': `ipfs://${C}/plain.txt` }, body: 'plain\n' }
})

const ENCODED = 'bafybeig675grnxcmshiuzdaz2xalm6ef4thxxds6o6ypakpghm5kghpc34'
const CANONICAL = 'Portugal%252C%2BEspa%C3%B1a%3DPeninsula%20Ib%C3%A9rica.txt'

const encodedGateway = gatewayOver(conformance('path_gateway_unixfs/dir-with-percent-encoded-filename'), { legacyXIpfsPath: true })

testRows('TestGatewayIpfsUriPercentEncodedFilename', encodedGateway, Object.fromEntries([
  CANONICAL,
  'Portugal%252C+Espa%C3%B1a=Peninsula%20Ib%C3%A9rica.txt',
  'Portugal%252C+Espa%c3%b1a=Peninsula%20Ib%c3%a9rica%2etxt'
].map((spelling) => [spelling, {
  target: `/ipfs/${ENCODED}/${spelling}`,
  expect: { 'Ipfs-Uri': `ipfs://${ENCODED}/${CANONICAL}`, 'X-Ipfs-Path': undefined },
  body: 'hello from a percent encoded filename\n'
}])))

test('Ipfs-Uri is left out when it would be longer than clients take', async () => {
  const { status, headers } = await ask(await gateway, `/ipfs/${C}/${'%C4%85'.repeat(1300)}`)
  assert.equal(status, 404)
  assert.match(headers['ipfs-uri'] ?? '', /^ipfs:/)
  const long = await ask(await gateway, `/ipfs/${C}/${'!'.repeat(4000)}`)
  assert.equal(long.status, 404)
  assert.equal(long.headers['ipfs-uri'], undefined)
})

test('without the setting there is no X-Ipfs-Path', async () => {
  const { headers } = await ask(createGateway({ blocks, log: silentLogger }), `/ipfs/${C}/plain.txt`)
  assert.equal(headers['x-ipfs-path'], undefined)
})
