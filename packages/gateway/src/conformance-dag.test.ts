/**
 * Rows of the public conformance suite for dag-json, dag-cbor, json and cbor, and stricter ones.
 *
 * @see https://github.com/ipfs/gateway-conformance v0.13.2 tests/path_gateway_dag_test.go
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ask, conformance, gatewayOver, holding, type Row, testRows } from './harness.test.ts'

const DAG_JSON = 'baguqeeram5ujjqrwheyaty3w5gdsmoz6vittchvhk723jjqxk7hakxkd47xq'
const DAG_CBOR = 'bafyreibs4utpgbn7uqegmd2goqz4bkyflre2ek2iwv743fhvylwi4zeeim'
const PLAIN_JSON = 'bagaaierajjsnhsxqlgfrvknlt7z2heoljcgfv37cn45tu7mhmr23x3ekiboq'
const PLAIN_CBOR = 'bafireif3aymeikgfbofx533yf5vlx4kimzq6zmzmpra2mnzfsfnmv4hchm'
const JSON_FILE = 'bafkreibrppizs3g7axs2jdlnjua6vgpmltv7k72l7v7sa6mmht6mne3qqe'
const TEXT_FILE = 'bafkreialihlqnf5uwo4byh4n3cmwlntwqzxxs2fg5vanqdi3d7tb2l5xkm'
const ABSENT = 'bafyreib4ahtzq2lvwy7bs2k2bg7z6xwqzdhz3qrnpiz4u6fqzvw4y7qkge'
const IMMUTABLE = 'public, max-age=29030400, immutable'

const gateway = gatewayOver(conformance(
  'path_gateway_dag/gateway-json-cbor', 'path_gateway_dag/dag-json-traversal', 'path_gateway_dag/dag-cbor-traversal',
  'path_gateway_dag/plain-json', 'path_gateway_dag/plain-cbor'), { legacyXIpfsPath: true })

testRows('TestGatewayJsonCbor', gateway, {
  'JSON in UnixFS is JSON': { target: `/ipfs/${JSON_FILE}`, expect: { 'Content-Type': 'application/json', Etag: `"${JSON_FILE}"` }, body: '{ "test": "i am a plain json file" }\n' },
  'also when asked for': { target: `/ipfs/${JSON_FILE}`, headers: { Accept: 'application/json' }, expect: { 'Content-Type': 'application/json', 'Content-Location': `/ipfs/${JSON_FILE}?format=json` }, body: '{ "test": "i am a plain json file" }\n' },
  'format wins over Accept': { target: `/ipfs/${JSON_FILE}?format=json`, headers: { Accept: 'application/vnd.ipld.raw' }, expect: { 'Content-Type': 'application/json' }, body: '{ "test": "i am a plain json file" }\n' },
  'a name that says otherwise does not hide it': { target: `/ipfs/${JSON_FILE}?filename=a.txt&format=json`, expect: { 'Content-Type': 'application/json' } },
  'text is not JSON': { target: `/ipfs/${TEXT_FILE}?format=json`, status: 406, body: holding('format=raw') },
  'unless the client takes anything': { target: `/ipfs/${TEXT_FILE}`, headers: { Accept: 'application/json, */*;q=0.5' }, expect: { 'Content-Type': 'text/plain; charset=utf-8' } }
})

testRows('TestCodecMismatchReturns406', gateway, Object.fromEntries([
  [TEXT_FILE, 'dag-json'], [TEXT_FILE, 'dag-cbor'], [TEXT_FILE, 'cbor'], [JSON_FILE, 'dag-json'],
  [DAG_JSON, 'dag-cbor'], [DAG_JSON, 'cbor'], [DAG_CBOR, 'dag-json'], [DAG_CBOR, 'json'],
  [PLAIN_JSON, 'dag-json'], [PLAIN_JSON, 'cbor'], [PLAIN_CBOR, 'dag-cbor'], [PLAIN_CBOR, 'json'],
  [DAG_JSON, 'tar'], [PLAIN_CBOR, 'tar']
].flatMap(([cid = '', format = '']): Array<[string, Row]> => [
  [`${cid.slice(0, 8)} as ${format}, by query`, { target: `/ipfs/${cid}?format=${format}`, status: 406 }],
  [`${cid.slice(0, 8)} as ${format}, by Accept`, { target: `/ipfs/${cid}`, headers: { Accept: mediaType(format) }, status: 406, expect: { 'X-Error-Code': 'UNSUPPORTED' } }]
])))

function mediaType (format: string): string {
  return format === 'tar' ? 'application/x-tar' : format.startsWith('dag-') ? `application/vnd.ipld.${format}` : `application/${format}`
}

/** Each row of a codec whole, with one range and with several. */
function withRanges (name: string, row: Row, bytes: Buffer, contentType: string): Array<[string, Row]> {
  const total = bytes.byteLength
  return [
    [name, { ...row, expect: { ...row.expect, 'Content-Type': contentType, 'Content-Length': String(total) }, body: bytes }],
    [`${name}, one range`, { ...row, headers: { ...row.headers, Range: 'bytes=7-9' }, status: 206, expect: { ...row.expect, 'Content-Type': contentType, 'Content-Range': `bytes 7-9/${total}` }, body: bytes.subarray(7, 10) }],
    [`${name}, several ranges`, {
      ...row,
      headers: { ...row.headers, Range: 'bytes=7-9,1-3' },
      status: 206,
      expect: { ...row.expect, 'Content-Type': /^multipart\/byteranges/ },
      body: holding(`Content-Type: ${contentType}\r\nContent-Range: bytes 7-9/${total}\r\n\r\n`, `Content-Type: ${contentType}\r\nContent-Range: bytes 1-3/${total}\r\n\r\n`)
    }]
  ]
}

async function blockOf (cid: string): Promise<Buffer> {
  return (await ask(await gateway, `/ipfs/${cid}?format=raw`)).body
}

for (const [cid, format, disposition] of [[PLAIN_JSON, 'json', 'inline'], [PLAIN_CBOR, 'cbor', 'attachment']] as const) {
  const bytes = await blockOf(cid)
  const expect = { 'Content-Disposition': `${disposition}; filename="${cid}.${format}"; filename*=UTF-8''${cid}.${format}`, Etag: `"${cid}.${format}"`, 'Cache-Control': IMMUTABLE, 'X-Content-Type-Options': 'nosniff' }
  testRows(`TestPlainCodec ${format}`, gateway, Object.fromEntries([
    ...withRanges('by its CID', { target: `/ipfs/${cid}`, expect }, bytes, `application/${format}`),
    ...withRanges('by format', { target: `/ipfs/${cid}?format=${format}`, expect }, bytes, `application/${format}`),
    ...withRanges('by Accept', { target: `/ipfs/${cid}`, headers: { Accept: `application/${format}` }, expect }, bytes, `application/${format}`)
  ]))
}

testRows('TestPathing', gateway, {
  'a value inside of dag-json is 501': { target: `/ipfs/${DAG_JSON}/foo?format=dag-json`, status: 501, body: holding(DAG_JSON) },
  'links of dag-json are followed': { target: `/ipfs/${DAG_JSON}/foo/link/bar?format=dag-json`, body: '{"hello":"this is not a link"}', expect: { 'X-Ipfs-Roots': /^[a-z0-9]+,[a-z0-9]+,[a-z0-9]+$/ } },
  'a name that dag-json does not have is 404': { target: `/ipfs/${DAG_JSON}/foo/i-do-not-exist`, status: 404 },
  'a value inside of dag-cbor is 501': { target: `/ipfs/${DAG_CBOR}/foo?format=dag-cbor`, status: 501 },
  'links of dag-cbor are followed': { target: `/ipfs/${DAG_CBOR}/foo/link/bar?format=dag-cbor`, body: Buffer.from('a16568656c6c6f7274686973206973206e6f742061206c696e6b', 'hex') },
  'a name that dag-cbor does not have is 404': { target: `/ipfs/${DAG_CBOR}/foo/i-do-not-exist`, status: 404 },
  'names of Object.prototype are not there either': { target: `/ipfs/${DAG_CBOR}/constructor`, status: 404 }
})

for (const [cid, format, disposition] of [[DAG_JSON, 'json', 'inline'], [DAG_CBOR, 'cbor', 'attachment']] as const) {
  const bytes = await blockOf(cid)
  const native = `application/vnd.ipld.dag-${format}`
  const target = `/ipfs/${cid}`
  testRows(`TestNativeDag ${format}`, gateway, Object.fromEntries([
    ['no format: the block', { target, expect: { 'Content-Type': native }, body: bytes }],
    ['format of the codec', { target: `${target}?format=dag-${format}`, expect: { 'Content-Type': native }, body: bytes }],
    ['Accept of the codec', {
      target,
      headers: { Accept: native },
      body: bytes,
      expect: {
        'Content-Type': native,
        'Content-Length': String(bytes.byteLength),
        'Content-Disposition': `${disposition}; filename="${cid}.${format}"; filename*=UTF-8''${cid}.${format}`,
        Etag: `"${cid}.dag-${format}"`,
        'X-Ipfs-Path': target,
        'X-Ipfs-Roots': cid,
        'Cache-Control': IMMUTABLE
      }
    }],
    ['plain format: the same bytes under the plain type', { target: `${target}?format=${format}`, expect: { 'Content-Type': `application/${format}`, Etag: `"${cid}.${format}"` }, body: bytes }],
    ['plain Accept: the same bytes under the plain type', { target, headers: { Accept: `application/${format}` }, expect: { 'Content-Type': `application/${format}` }, body: bytes }],
    ['filename', { target: `${target}?filename=foobar.${format}`, headers: { Accept: native }, expect: { 'Content-Disposition': new RegExp(`^${disposition}; filename="foobar\\.${format}"`) } }],
    ['download', { target: `${target}?filename=foobar.${format}&download=true`, headers: { Accept: native }, expect: { 'Content-Disposition': new RegExp(`^attachment; filename="foobar\\.${format}"`) } }],
    ['HEAD without format', { target, method: 'HEAD', expect: { 'Content-Type': native, 'Content-Length': String(bytes.byteLength) } }],
    ['HEAD with format', { target: `${target}?format=dag-${format}`, method: 'HEAD', expect: { Etag: `"${cid}.dag-${format}"`, 'Content-Type': native, 'Content-Length': String(bytes.byteLength) } }],
    ['HEAD of an absent block, only if cached', { target: `/ipfs/${ABSENT}`, method: 'HEAD', headers: { 'Cache-Control': 'only-if-cached' }, status: 412 }],
    ['a page for people', {
      target: `${target}/`,
      headers: { Accept: 'text/html' },
      expect: { Etag: new RegExp(`^"DagIndex-.*_CID-${cid}"$`), 'Content-Type': /^text\/html/, 'Content-Disposition': undefined, 'Cache-Control': 'public, max-age=604800, stale-while-revalidate=2678400', 'Content-Security-Policy': /default-src 'none'/ },
      body: holding('</html>', cid, '<dt>banana</dt><dd><code>10</code></dd>', '?format=raw')
    }],
    ['the page needs the slash', { target: `${target}?x=y`, headers: { Accept: 'text/html' }, status: 301, expect: { Location: `${target}/?x=y` } }],
    ['no page for a download', { target: `${target}/?download=true`, headers: { Accept: 'text/html' }, expect: { 'Content-Type': native, 'Content-Disposition': /^attachment/ } }],
    ['no page when a format is given', { target: `${target}/?format=dag-${format}`, headers: { Accept: 'text/html' }, expect: { 'Content-Type': native } }],
    ...withRanges('no format', { target: `${target}/` }, bytes, native),
    ...withRanges('Accept of the codec', { target: `${target}/`, headers: { Accept: native } }, bytes, native),
    ...withRanges('plain Accept', { target: `${target}/`, headers: { Accept: `application/${format}` } }, bytes, `application/${format}`)
  ] satisfies Array<[string, Row]>))
}

test('TestNativeDag: the tag of the page is told from that of the block', async () => {
  const page = await ask(await gateway, `/ipfs/${DAG_JSON}/`, { headers: { Accept: 'text/html' } })
  const etag = page.headers['etag'] ?? ''
  assert.equal((await ask(await gateway, `/ipfs/${DAG_JSON}/`, { headers: { Accept: 'text/html', 'If-None-Match': etag } })).status, 304)
  assert.equal((await ask(await gateway, `/ipfs/${DAG_JSON}/`, { headers: { 'If-None-Match': etag } })).status, 200)
})
