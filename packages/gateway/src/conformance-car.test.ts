/**
 * Rows of the public conformance suite for CAR, and stricter ones.
 *
 * @see https://github.com/ipfs/gateway-conformance v0.13.2 tests/trustless_gateway_car_test.go
 */
import { Block, CODECS, decodeDagPb, encodeDagPb, silentLogger } from '@holdfast/core'
import { encodeUnixFs } from '@holdfast/dag'
import { fixturePath } from '@holdfast/testkit'
import type { CID } from 'multiformats/cid'
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { test } from 'node:test'
import { createGateway } from './gateway.ts'
import { ask, carOf, conformance, gatewayOver, readCarSections, type Row, storeOf, testRows } from './harness.test.ts'

const ASCII = 'bafkreifkam6ns4aoolg3wedr4uzrs3kvq66p4pecirz6y2vlrngla62mxm'
const HELLO = 'bafkreifjjcie6lypi6ny7amxnfftagclbuxndqonfipmb64f2km2devei4'
const MULTIBLOCK = 'bafybeigcisqd7m5nf3qmuvjdbakl5bdnh4ocrmacaqkpuh77qjvggmt2sa'
/** The chunks of multiblock.txt: 256, 256, 256, 256 and 2 bytes. */
const CHUNKS = [
  'bafkreie5noke3mb7hqxukzcy73nl23k6lxszxi5w3dtmuwz62wnvkpsscm',
  'bafkreih4ephajybraj6wnxsbwjwa77fukurtpl7oj7t7pfq545duhot7cq',
  'bafkreigu7buvm3cfunb35766dn7tmqyh2um62zcio63en2btvxuybgcpue',
  'bafkreicll3huefkc3qnrzeony7zcfo7cr3nbx64hnxrqzsixpceg332fhe',
  'bafkreifst3pqztuvj57lycamoi7z34b4emf7gawxs74nwrc2c7jncmpaqm'
]
const SINGLE = { root: 'bafybeietjm63oynimmv5yyqay33nui4y4wx6u3peezwetxgiwvfmelutzu', subdir: 'bafybeiggghzz6dlue3m6nb2dttnbrygxh3lrjl5764f2m4gq7dgzdt55o4' }
const MIXED = { root: 'bafybeidh6k2vzukelqtrjsmd4p52cpmltd2ufqrdtdg6yigi73in672fwu', subdir: 'bafybeicnmple4ehlz3ostv2sbojz3zhh5q7tz5r2qkfdpqfilgggeen7xm' }
const DAG_CBOR = { root: 'bafybeia264q44a3kmfc2otctzu4egp2k235o3t7mslz2yjraymp4nv6asi', document: 'bafyreidy4q6mmetut5jzc54ambsfnatbyoujmwbfzyyolqw24majazwgha' }
const DUPLICATES = 'bafybeihchr7vmgjaasntayyatmp5sv6xza57iy2h4xj7g46bpjij6yhrmy'
const HOLED = { root: 'QmYhmPjhFjYFyaoiuNzYv8WGavpSRDwdHWe5B4M5du5Rtk', first: 'QmPKt7ptM2ZYSGPUc8PmPT2VBkLDK3iqpG9TBJY7PCE9rF', third: 'QmWXY482zQdwecnfBsj78poUUuPXvyw2JAFAEMw4tzTavV' }
const CAR = 'application/vnd.ipld.car'

const folder = 'trustless_gateway_car/'
const gateway = gatewayOver(conformance(
  `${folder}subdir-with-two-single-block-files`, `${folder}subdir-with-mixed-block-files`, `${folder}single-layer-hamt-with-multi-block-files`,
  `${folder}dir-with-dag-cbor-with-links`, `${folder}dir-with-duplicate-files`, `${folder}file-3k-and-3-blocks-missing-block`, 'gateway-raw-block'))

/** The shards of the HAMT fixture in the order of its CAR, which Kubo wrote depth first. */
const shards = readCarSections(await readFile(fixturePath(`gateway-conformance/${folder}single-layer-hamt-with-multi-block-files.car`)))
  .filter(({ cid }) => cid.code === CODECS.dagPb && cid.toString() !== MULTIBLOCK)
const HAMT = shards[0]?.cid.toString() ?? assert.fail()

/** The shards below the root that lead to a name, found by looking through all of them. */
function shardsTo (name: string): string[] {
  const path: string[] = []
  let wanted: (link: { name: Uint8Array, cid: CID }) => boolean = (link) => Buffer.from(link.name).toString().slice(2) === name
  for (;;) {
    const holder = shards.find(({ bytes }) => decodeDagPb(bytes).links.some(wanted)) ?? assert.fail(`${name} is in the fixture`)
    if (holder.cid.toString() === HAMT) return path
    path.unshift(holder.cid.toString())
    wanted = (link) => link.cid.equals(holder.cid)
  }
}

/** Each row by format and by Accept, with what every CAR response must have. */
function testCars (group: string, rows: Readonly<Record<string, { path: string, query?: string, cids: readonly string[] }>>): void {
  const expect = {
    'X-Content-Type-Options': 'nosniff',
    'Accept-Ranges': 'none',
    'Content-Type': 'application/vnd.ipld.car; version=1; order=dfs; dups=n',
    'Content-Disposition': /^attachment; filename="[a-zA-Z0-9]+\.car"/,
    Etag: /^W\/"[a-zA-Z0-9]+\.car\.[0-9a-f]{16}"$/,
    'Cache-Control': 'public, max-age=29030400, immutable'
  }
  testRows(group, gateway, Object.fromEntries(Object.entries(rows).flatMap(([name, { path, query = '', cids }]): Array<[string, Row]> => [
    [`${name}, by format`, { target: `/ipfs/${path}?format=car${query === '' ? '' : `&${query}`}`, expect, body: carOf(cids) }],
    [`${name}, by Accept`, { target: `/ipfs/${path}${query === '' ? '' : `?${query}`}`, headers: { Accept: CAR }, expect, body: carOf(cids) }]
  ])))
}

testCars('TestTrustlessCarPathing', {
  'through directories': { path: `${SINGLE.root}/subdir/ascii.txt`, cids: [SINGLE.root, SINGLE.subdir, ASCII] },
  'through a sharded directory': { path: `${HAMT}/685.txt`, cids: [HAMT, ...shardsTo('685.txt'), MULTIBLOCK, ...CHUNKS] },
  'through two levels of shards': { path: `${HAMT}/402.txt`, cids: [HAMT, ...shardsTo('402.txt'), MULTIBLOCK, ...CHUNKS] },
  'through dag-cbor': { path: `${DAG_CBOR.document}/files/single`, cids: [DAG_CBOR.document, HELLO] },
  'to a value inside of dag-cbor, which is in its block': { path: `${DAG_CBOR.document}/cats`, query: 'dag-scope=block', cids: [DAG_CBOR.document] }
})

test('the fixture has names below two levels of shards', () => {
  assert.equal(shardsTo('402.txt').length, 2)
  assert.equal(shardsTo('685.txt').length, 1)
})

testRows('TestTrustlessCarPathing', gateway, {
  'a path that does not exist is 404': { target: `/ipfs/${SINGLE.root}/subdir/i-do-not-exist?format=car`, status: 404 },
  'an absent root is 404': { target: `/ipfs/QmYzfKSE55XCjD1MW128RfciAf2DViABhEiXfgVFMabSjN?format=car`, status: 404 },
  'an absent root is 404 for HEAD': { target: `/ipfs/QmYzfKSE55XCjD1MW128RfciAf2DViABhEiXfgVFMabSjN?format=car`, method: 'HEAD', status: 404 },
  'HEAD has the headers': { target: `/ipfs/${SINGLE.root}/subdir?format=car`, method: 'HEAD', expect: { Etag: /^W\//, 'X-Ipfs-Roots': `${SINGLE.root},${SINGLE.subdir}` } }
})

testCars('TestTrustlessCarDagScopeBlock', {
  'a directory': { path: `${SINGLE.root}/subdir`, query: 'dag-scope=block', cids: [SINGLE.root, SINGLE.subdir] },
  'a file': { path: `${SINGLE.root}/subdir/ascii.txt`, query: 'dag-scope=block', cids: [SINGLE.root, SINGLE.subdir, ASCII] },
  'a file of a sharded directory': { path: `${HAMT}/1.txt`, query: 'dag-scope=block', cids: [HAMT, ...shardsTo('1.txt'), MULTIBLOCK] }
})

testCars('TestTrustlessCarDagScopeEntity', {
  'a directory': { path: SINGLE.root, query: 'dag-scope=entity', cids: [SINGLE.root] },
  'a sharded directory': { path: HAMT, query: 'dag-scope=entity', cids: shards.map(({ cid }) => cid.toString()) },
  'a file': { path: `${MIXED.root}/subdir/ascii.txt`, query: 'dag-scope=entity', cids: [MIXED.root, MIXED.subdir, ASCII] },
  'a file of several blocks': { path: `${MIXED.root}/subdir/multiblock.txt`, query: 'dag-scope=entity', cids: [MIXED.root, MIXED.subdir, MULTIBLOCK, ...CHUNKS] },
  'dag-cbor with links': { path: `${DAG_CBOR.root}/document`, query: 'dag-scope=entity', cids: [DAG_CBOR.root, DAG_CBOR.document] }
})

testCars('TestTrustlessCarDagScopeAll', {
  'a directory': { path: `${MIXED.root}/subdir`, query: 'dag-scope=all', cids: [MIXED.root, MIXED.subdir, ASCII, HELLO, MULTIBLOCK, ...CHUNKS] },
  'a file of several blocks': { path: `${MIXED.root}/subdir/multiblock.txt`, query: 'dag-scope=all', cids: [MIXED.root, MIXED.subdir, MULTIBLOCK, ...CHUNKS] },
  'everything behind dag-cbor, each block once': { path: `${DAG_CBOR.root}/document`, cids: [DAG_CBOR.root, DAG_CBOR.document, HELLO, MULTIBLOCK, ...CHUNKS] }
})

const bytes = (range: string): string => `dag-scope=entity&entity-bytes=${range}`

testCars('TestTrustlessCarEntityBytes', {
  'a block is missing after the range': { path: HOLED.root, query: bytes('0:1000'), cids: [HOLED.root, HOLED.first] },
  'a block is missing before the range': { path: HOLED.root, query: bytes('2200:*'), cids: [HOLED.root, HOLED.third] },
  'all of a file': { path: `${MIXED.root}/subdir/multiblock.txt`, query: bytes('0:*'), cids: [MIXED.root, MIXED.subdir, MULTIBLOCK, ...CHUNKS] },
  'a directory has no bytes': { path: HAMT, query: bytes('0:*'), cids: shards.map(({ cid }) => cid.toString()) },
  'dag-cbor has no bytes': { path: DAG_CBOR.document, query: bytes('999999:*'), cids: [DAG_CBOR.document] },
  'from the middle': { path: MULTIBLOCK, query: bytes('512:*'), cids: [MULTIBLOCK, ...CHUNKS.slice(2)] },
  'in the middle': { path: MULTIBLOCK, query: bytes('512:1023'), cids: [MULTIBLOCK, ...CHUNKS.slice(2, 4)] },
  'one byte more': { path: MULTIBLOCK, query: bytes('511:1024'), cids: [MULTIBLOCK, ...CHUNKS.slice(1)] },
  'up to before the end': { path: MULTIBLOCK, query: bytes('512:-256'), cids: [MULTIBLOCK, ...CHUNKS.slice(2, 4)] },
  'a suffix': { path: MULTIBLOCK, query: bytes('-5:*'), cids: [MULTIBLOCK, ...CHUNKS.slice(3)] },
  'a suffix longer than the file': { path: MULTIBLOCK, query: bytes('-9999:*'), cids: [MULTIBLOCK, ...CHUNKS] },
  'from before the file to before its end': { path: MULTIBLOCK, query: bytes('-9999:-3'), cids: [MULTIBLOCK, ...CHUNKS.slice(0, 4)] },
  'the first byte': { path: MULTIBLOCK, query: bytes('0:0'), cids: [MULTIBLOCK, ...CHUNKS.slice(0, 1)] },
  'a range that is empty is the block alone': { path: MULTIBLOCK, query: bytes('500:-1000'), cids: [MULTIBLOCK] },
  'a range implies the entity': { path: MULTIBLOCK, query: 'entity-bytes=0:0', cids: [MULTIBLOCK, ...CHUNKS.slice(0, 1)] }
})

testRows('TestTrustlessCarEntityBytes', gateway, {
  'wholly outside is 400': { target: `/ipfs/${MULTIBLOCK}?format=car&entity-bytes=1026:*`, status: 400 },
  'malformed is 400': { target: `/ipfs/${MULTIBLOCK}?format=car&entity-bytes=x`, status: 400 },
  'a missing block inside is 404 while nothing was sent': { target: `/ipfs/${HOLED.root}?format=car&${bytes('0:2000')}`, status: 404 }
})

const ALL_ONCE = [DUPLICATES, ASCII, HELLO, MULTIBLOCK, ...CHUNKS]
const ALL_TWICE = [DUPLICATES, ASCII, ASCII, HELLO, MULTIBLOCK, ...CHUNKS]
const carType = (dups: string): string => `application/vnd.ipld.car; version=1; order=dfs; dups=${dups}`

testRows('TestTrustlessCarOrderAndDuplicates', gateway, {
  'dfs, with duplicates': { target: `/ipfs/${DUPLICATES}`, headers: { Accept: `${CAR}; version=1; order=dfs; dups=y` }, expect: { 'Content-Type': carType('y'), 'Content-Location': `/ipfs/${DUPLICATES}?format=car&car-version=1&car-order=dfs&car-dups=y` }, body: carOf(ALL_TWICE) },
  'dfs, without duplicates': { target: `/ipfs/${DUPLICATES}`, headers: { Accept: `${CAR}; version=1; order=dfs; dups=n` }, expect: { 'Content-Type': carType('n') }, body: carOf(ALL_ONCE) },
  'any order': { target: `/ipfs/${DUPLICATES}`, headers: { Accept: `${CAR}; version=1; order=unk` }, expect: { 'Content-Type': carType('n') }, body: carOf(ALL_ONCE) },
  'an identity CID is no block': { target: '/ipfs/bafkqaf3imvwgy3zaneqgc3janfxgy2lomvscay3jmqfa', headers: { Accept: `${CAR}; dups=y` }, expect: { 'Content-Type': carType('y') }, body: carOf([]) },
  'Accept adds to the format': { target: `/ipfs/${DUPLICATES}?format=car`, headers: { Accept: `${CAR}; version=1; order=dfs; dups=y` }, expect: { 'Content-Type': carType('y') }, body: carOf(ALL_TWICE) },
  'car-order wins over Accept': { target: `/ipfs/${DUPLICATES}?format=car&car-order=dfs`, headers: { Accept: `${CAR}; order=unk` }, expect: { 'Content-Type': carType('n') } },
  'car-dups wins over Accept': { target: `/ipfs/${DUPLICATES}?format=car&car-dups=y`, headers: { Accept: `${CAR}; dups=n` }, expect: { 'Content-Type': carType('y') }, body: carOf(ALL_TWICE) },
  'duplicates of an entity': { target: `/ipfs/${DUPLICATES}?format=car&car-dups=y&dag-scope=entity`, body: carOf([DUPLICATES]) },
  'another version is 400': { target: `/ipfs/${DUPLICATES}?format=car&car-version=2`, status: 400 },
  'another order is 400': { target: `/ipfs/${DUPLICATES}`, headers: { Accept: `${CAR}; order=bfs` }, status: 400 }
})

const DIRECTORY = 'bafybeifaqksygmsbnqe76kwvxoqxtkzcwssq5jkhuo65ldtqiunr3bxlra'

testRows('TestTrustlessCarFormatPrecedence', gateway, {
  'format=car wins over Accept': { target: `/ipfs/${DIRECTORY}?format=car`, headers: { Accept: 'application/vnd.ipld.raw' }, expect: { 'Content-Type': /^application\/vnd\.ipld\.car/ } },
  'format=raw wins over Accept': { target: `/ipfs/${DIRECTORY}?format=raw`, headers: { Accept: CAR }, expect: { 'Content-Type': 'application/vnd.ipld.raw' } }
})

test('the probe is a CAR whose root is the probe and that has no blocks', async () => {
  const { body, status } = await ask(await gateway, '/ipfs/bafkqaaa?format=car')
  assert.equal(status, 200)
  assert.deepEqual(readCarSections(body), [])
  // {"roots": [42(h'0001550000')], "version": 1} behind its length.
  assert.equal(body.toString('hex'), '19a265726f6f747381d82a4500015500006776657273696f6e01')
})

test('a CAR has a tag of its own for everything that changes it', async () => {
  const queries = ['', 'dag-scope=block', 'dag-scope=entity', 'entity-bytes=0:*', 'entity-bytes=0:5', 'entity-bytes=1:5', 'car-dups=y']
  const tags = new Set<string>()
  for (const path of [`${MIXED.root}/subdir/multiblock.txt`, `${MIXED.root}/subdir/hello.txt`, MULTIBLOCK]) {
    for (const query of queries) tags.add((await ask(await gateway, `/ipfs/${path}?format=car&${query}`)).headers['etag'] ?? '')
  }
  assert.equal(tags.size, 3 * queries.length)
})

test('a CAR that the client has is 304 before any block is read', async () => {
  const blocks = await storeOf([])
  const { headers } = await ask(await gateway, `/ipfs/${MIXED.root}/subdir?format=car`)
  const { status } = await ask(createGateway({ blocks, log: silentLogger }), `/ipfs/${MIXED.root}/subdir?format=car`, { headers: { 'If-None-Match': headers['etag'] ?? '' } })
  assert.equal(status, 304)
})

test('a repeated subtree at the edge of a range is not cut short by the first time it was met', async () => {
  // Two levels: the root links twice to a node of two leaves; the range begins in the middle of its first occurrence.
  const blocks = await storeOf([])
  const leaves = await Promise.all(['a', 'b'].map(async (text) => await Block.of(Buffer.from(text.repeat(10)))))
  const node = async (children: readonly Block[], lengths: readonly number[]): Promise<Block> => {
    const data = encodeUnixFs({ type: 'file', byteLength: lengths.reduce((sum, length) => sum + length, 0), blockByteLengths: lengths })
    return await Block.of(encodeDagPb({ links: children.map(({ cid }) => ({ name: new Uint8Array(), cid, tsize: 1 })), data }), { codec: CODECS.dagPb })
  }
  const inner = await node(leaves, [10, 10])
  const root = await node([inner, inner], [20, 20])
  await blocks.putMany([...leaves, inner, root])
  const names = (...list: Block[]): string[] => list.map(({ cid }) => cid.toString())
  const [a, b] = leaves
  assert.ok(a !== undefined && b !== undefined)
  const gateway = createGateway({ blocks, log: silentLogger })
  const car = async (query: string): Promise<Buffer> => (await ask(gateway, `/ipfs/${root.cid}?format=car&${query}`)).body
  await carOf(names(root, inner, b, a))(await car('entity-bytes=15:*'))
  await carOf(names(root, inner, b, inner, a, b))(await car('entity-bytes=15:*&car-dups=y'))
  await carOf(names(root, inner, a, b))(await car('dag-scope=entity'))
  await carOf(names(root, inner, a, b, inner, a, b))(await car('dag-scope=all&car-dups=y'))
})

test('a CAR of more blocks than allowed fails instead of going on', async () => {
  const blocks = await storeOf(conformance(`${folder}dir-with-duplicate-files`))
  const gateway = createGateway({ blocks, log: silentLogger, limits: { maxCarBlockCount: 8 } })
  assert.equal((await ask(gateway, `/ipfs/${DUPLICATES}?format=car`)).status, 413)
  assert.equal((await ask(gateway, `/ipfs/${DUPLICATES}?format=car&dag-scope=block`)).status, 200)
})
