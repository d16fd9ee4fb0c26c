/**
 * Rows of the public conformance suite for raw blocks, and stricter ones.
 *
 * @see https://github.com/ipfs/gateway-conformance v0.13.2 tests/path_gateway_raw_test.go, trustless_gateway_raw_test.go;
 * v0.14 for the field order of dag-pb (IPIP-0550)
 */
import { MemoryBlockstore } from '@holdfast/blockstore'
import { Block, silentLogger } from '@holdfast/core'
import { CID } from 'multiformats/cid'
import assert from 'node:assert/strict'
import { createGateway, type Gateway } from './gateway.ts'
import { conformance, gatewayOver, holding, type Row, testRows } from './harness.test.ts'

const ROOT = 'bafybeie72edlprgtlwwctzljf6gkn2wnlrddqjbkxo3jomh4n7omwblxly'
const DIRECTORY = 'bafybeifaqksygmsbnqe76kwvxoqxtkzcwssq5jkhuo65ldtqiunr3bxlra'
const FILE = 'bafkreihhpc5y2pqvl5rbe5uuyhqjouybfs3rvlmisccgzue2kkt5zq6upq'
const ASCII = 'hello application/vnd.ipld.raw\n'
const DIRECTORY_BYTES = Buffer.concat([
  Buffer.from('12330a2401551220', 'hex'), CID.parse(FILE).multihash.digest, Buffer.from('1209', 'hex'), Buffer.from('ascii.txt'), Buffer.from('181f0a020801', 'hex')
])
const RAW = { Accept: 'application/vnd.ipld.raw' }
const COMMON = {
  'Content-Type': 'application/vnd.ipld.raw',
  'X-Content-Type-Options': 'nosniff',
  'Cache-Control': 'public, max-age=29030400, immutable',
  'Accept-Ranges': 'bytes'
}

const gateway = gatewayOver(conformance('gateway-raw-block'), { legacyXIpfsPath: true })

/** The same rows with a path and by CID alone: TestGatewayBlock and TestTrustlessRaw. */
for (const [group, directory, file, filePath] of [
  ['TestGatewayBlock', `/ipfs/${ROOT}/dir`, `/ipfs/${ROOT}/dir/ascii.txt`, `${ROOT}/dir/ascii.txt`],
  ['TestTrustlessRaw', `/ipfs/${DIRECTORY}`, `/ipfs/${FILE}`, FILE]
] as const) {
  testRows(group, gateway, {
    'format=raw is the block': { target: `${directory}?format=raw`, expect: { ...COMMON, 'Content-Location': undefined, 'Content-Length': String(DIRECTORY_BYTES.byteLength), Etag: `"${DIRECTORY}.raw"` }, body: DIRECTORY_BYTES },
    'Accept is the block': { target: directory, headers: RAW, expect: { ...COMMON, 'Content-Location': `${directory}?format=raw`, Vary: 'Accept' }, body: DIRECTORY_BYTES },
    'headers': {
      target: file,
      headers: RAW,
      expect: {
        ...COMMON,
        'Content-Length': '31',
        'Content-Disposition': `attachment; filename="${FILE}.bin"; filename*=UTF-8''${FILE}.bin`,
        Etag: `"${FILE}.raw"`,
        'X-Ipfs-Path': `/ipfs/${filePath}`,
        'X-Ipfs-Roots': new RegExp(`${FILE}$`)
      },
      body: ASCII
    },
    'filename': { target: `${file}?filename=foobar.bin`, headers: RAW, expect: { 'Content-Disposition': /^attachment; filename="foobar\.bin"/ } },
    'one range': { target: directory, headers: { ...RAW, Range: 'bytes=6-16' }, status: 206, expect: { ...COMMON, 'Content-Range': `bytes 6-16/${DIRECTORY_BYTES.byteLength}` }, body: DIRECTORY_BYTES.subarray(6, 17) },
    'several ranges': {
      target: file,
      headers: { ...RAW, Range: 'bytes=7-9,1-3' },
      status: 206,
      expect: { 'Content-Type': /^multipart\/byteranges/ },
      body: holding('Content-Type: application/vnd.ipld.raw\r\nContent-Range: bytes 7-9/31\r\n\r\nppl\r\n', 'Content-Range: bytes 1-3/31\r\n\r\nell\r\n')
    },
    'HEAD': { target: file, method: 'HEAD', headers: RAW, expect: { ...COMMON, 'Content-Length': '31' }, body: '' },
    'not modified': { target: file, headers: { ...RAW, 'If-None-Match': `"${FILE}.raw"` }, status: 304 },
    'the tag of the plain file is another': { target: file, headers: { ...RAW, 'If-None-Match': `"${FILE}"` }, status: 200 }
  })
}

testRows('Raw blocks', gateway, {
  'a missing block is 404': { target: '/ipfs/QmYzfKSE55XCjD1MW128RfciAf2DViABhEiXfgVFMabSjN?format=raw', status: 404 },
  'and so for HEAD': { target: '/ipfs/QmYzfKSE55XCjD1MW128RfciAf2DViABhEiXfgVFMabSjN?format=raw', method: 'HEAD', status: 404 },
  'the probe': { target: '/ipfs/bafkqaaa?format=raw', expect: { ...COMMON, 'Content-Length': '0' }, body: '' },
  'the probe by HEAD': { target: '/ipfs/bafkqaaa', method: 'HEAD', headers: RAW, expect: { 'Content-Length': '0' } },
  'a range of the probe': { target: '/ipfs/bafkqaaa?format=raw', headers: { Range: 'bytes=0-1' }, body: '' }
})

/** Blocks of IPIP-0550: the two orders of fields in dag-pb, for both kinds of directory. */
const FIELD_ORDERS = {
  'directory, data first': ['bafybeigqvyloizmfcdy6scaxnyltftzptaruqa3hnnplfzsbf4sqteiwlm', '0a02080112330a24015512205891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03120968656c6c6f2e7478741806'],
  'directory, links first': ['bafybeigdcg7pksx2zk5336vrfsktjodlr4rbfz37qr3koc5xboxe5ekv24', '12330a24015512205891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03120968656c6c6f2e74787418060a020801'],
  'shard, data first': ['bafybeicwgy2rlqmqqu3yy2tqvm2wbgdvy3snu4sbbv4wqpvpnoplpzxz74', '0a250805121c80000000000000000000000000000000000000000000000000000000282230800212350a24015512205891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03120b444668656c6c6f2e7478741806'],
  'shard, links first': ['bafybeicjwkfslu7gwyywffvqgse5kiibojtktxcdqhgv7ldj5fjdacuceq', '12350a24015512205891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03120b444668656c6c6f2e74787418060a250805121c800000000000000000000000000000000000000000000000000000002822308002']
} as const

async function fieldOrderGateway (): Promise<Gateway> {
  const blocks = new MemoryBlockstore()
  await blocks.put(await Block.of(Buffer.from('hello\n')))
  for (const [cid, hex] of Object.values(FIELD_ORDERS)) await blocks.put(await Block.verify(CID.parse(cid), Buffer.from(hex, 'hex')))
  return createGateway({ blocks, log: silentLogger })
}

testRows('TestUnixFSPBNodeFieldOrder, TestTrustlessRawPBNodeFieldOrder', fieldOrderGateway(), Object.fromEntries(Object.entries(FIELD_ORDERS).flatMap(([name, [cid, hex]]): Array<[string, Row]> => [
  [`a path through a ${name}`, { target: `/ipfs/${cid}/hello.txt`, body: 'hello\n' }],
  [`the bytes of a ${name}`, { target: `/ipfs/${cid}?format=raw`, body: Buffer.from(hex, 'hex') }],
  [`the listing of a ${name}`, { target: `/ipfs/${cid}/`, body: holding('>hello.txt<') }]
])))

/** A codec that this node does not read. */
const GIT = 0x78
const unreadable = await Block.of(Buffer.from('blob 3\0abc'), { codec: GIT })
const bare = await Block.of(Buffer.from('12260a24015512205891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03', 'hex'), { codec: 0x70 })

async function oddGateway (): Promise<Gateway> {
  const blocks = new MemoryBlockstore()
  await blocks.putMany([unreadable, bare])
  return createGateway({ blocks, log: silentLogger })
}

testRows('Content that nobody here can read', oddGateway(), {
  'a block of an unknown codec is opaque bytes': { target: `/ipfs/${unreadable.cid}`, expect: { 'Content-Type': 'application/octet-stream', 'Content-Disposition': /^attachment; filename="[a-z0-9]+\.bin"/, 'X-Content-Type-Options': 'nosniff' }, body: unreadable.bytes },
  'and has ranges': { target: `/ipfs/${unreadable.cid}`, headers: { Range: 'bytes=-3' }, status: 206, body: 'abc' },
  'and nothing below it': { target: `/ipfs/${unreadable.cid}/x`, status: 501 },
  'dag-pb without UnixFS is opaque bytes': { target: `/ipfs/${bare.cid}`, expect: { 'Content-Type': 'application/octet-stream' }, body: bare.bytes },
  'and no TAR': { target: `/ipfs/${bare.cid}?format=tar`, status: 406 }
})

assert.equal(DIRECTORY_BYTES.byteLength, 57)
