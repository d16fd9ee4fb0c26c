/**
 * Rows of the public conformance suite for UnixFS on the path gateway, and stricter ones where it is weak.
 *
 * @see https://github.com/ipfs/gateway-conformance v0.13.2 tests/path_gateway_unixfs_test.go, path_gateway_cors_test.go
 */
import { base16 } from 'multiformats/bases/base16'
import { base36 } from 'multiformats/bases/base36'
import { base58btc } from 'multiformats/bases/base58'
import { CID } from 'multiformats/cid'
import { create as createDigest } from 'multiformats/hashes/digest'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ask, conformance, gatewayOver, holding, testRows } from './harness.test.ts'

const LISTING_ROOT = 'bafybeig6ka5mlwkl4subqhaiatalkcleo4jgnr3hqwvpmsqfca27cijp3i'
const LISTING_FILE = 'bafkreialihlqnf5uwo4byh4n3cmwlntwqzxxs2fg5vanqdi3d7tb2l5xkm'
const CACHE = {
  root: 'bafybeib3ffl2teiqdncv3mkz4r23b5ctrwkzrrhctdbne6iboayxuxk5ui',
  root2: 'bafybeih2w7hjocxjg6g2ku25hvmd53zj7og4txpby3vsusfefw5rrg5sii',
  root3: 'bafybeiawdvhmjcz65x5egzx4iukxc72hg4woks6v6fvgyupiyt3oczk5ja',
  root4: 'bafybeifq2rzpqnqrsdupncmkmhs3ckxxjhuvdcbvydkgvch3ms24k5lo7q',
  index: 'bafkreicysg23kiwv34eg2d7qweipxwosdo2py4ldv42nbauguluen5v6am'
}
const ABSENT = 'QmYzfKSE55XCjD1MW128RfciAf2DViABhEiXfgVFMabSjN'
const IMMUTABLE = 'public, max-age=29030400, immutable'
const GENERATED = 'public, max-age=604800, stale-while-revalidate=2678400'

for (const method of ['GET', 'OPTIONS', 'HEAD']) {
  test(`TestCors: ${method} lets scripts of other origins read the answer`, async () => {
    const { status, headers } = await ask(await gatewayOver([]), '/ipfs/bafkqabtimvwgy3yk/', { method })
    assert.equal(status, 200)
    const listed = (name: string): string[] => (headers[name] ?? '').split(', ')
    for (const wanted of ['GET', 'HEAD', 'OPTIONS']) assert.ok(listed('access-control-allow-methods').includes(wanted))
    for (const wanted of ['Content-Type', 'Range', 'User-Agent', 'X-Requested-With']) assert.ok(listed('access-control-allow-headers').includes(wanted))
    for (const wanted of ['Content-Range', 'Content-Length', 'X-Ipfs-Path', 'X-Ipfs-Roots', 'X-Chunked-Output', 'X-Stream-Output', 'Ipfs-Uri']) {
      assert.ok(listed('access-control-expose-headers').includes(wanted), wanted)
    }
  })
}

testRows('TestUnixFSDirectoryListing', gatewayOver(conformance('dir_listing/fixtures')), {
  'the root has no link to what is above': {
    target: `/ipfs/${LISTING_ROOT}/`,
    body: (body) => {
      holding('Index of')(body)
      assert.ok(!body.includes(`<a href="/ipfs/${LISTING_ROOT}/">..</a>`))
      assert.ok(!body.includes('>..</a>'))
    }
  },
  'a directory is redirected to its slash, in uppercase hex': {
    target: `/ipfs/${LISTING_ROOT}/%c4%85/%C4%99`,
    status: 301,
    expect: { Location: `/ipfs/${LISTING_ROOT}/%C4%85/%C4%99/` }
  },
  'the query survives the redirect': {
    target: `/ipfs/${LISTING_ROOT}/api?a=%C4%85&b`,
    status: 301,
    expect: { Location: `/ipfs/${LISTING_ROOT}/api/?a=%C4%85&b` }
  },
  'go get is not redirected': {
    target: `/ipfs/${LISTING_ROOT}/api?go-get=1`,
    body: holding('Index of')
  },
  'the page has the links that the suite looks for': {
    target: `/ipfs/${LISTING_ROOT}/%C4%85/%C4%99/`,
    expect: { Etag: /^"DirIndex-.*_CID-bafybeih24awytf2cmnuycs4nslllfrdzhd6yliyzgd7mxwuxcgv2gm5mda"$/, 'Content-Type': /^text\/html/, 'Cache-Control': GENERATED },
    body: holding(
      'Index of',
      `/ipfs/<a href="/ipfs/${LISTING_ROOT}">${LISTING_ROOT}</a>/<a href="/ipfs/${LISTING_ROOT}/%C4%85">ą</a>/<a href="/ipfs/${LISTING_ROOT}/%C4%85/%C4%99">ę</a>`,
      `<a href="/ipfs/${LISTING_ROOT}/%C4%85/%C4%99/..">..</a>`,
      `<a href="/ipfs/${LISTING_ROOT}/%C4%85/%C4%99/file-%C5%BA%C5%82.txt">file-źł.txt</a>`,
      `<a class="ipfs-hash" translate="no" href="/ipfs/${LISTING_FILE}?filename=file-%25C5%25BA%25C5%2582.txt">`)
  },
  'the back link leads to the parent': {
    target: `/ipfs/${LISTING_ROOT}/%C4%85/%C4%99/..`,
    expect: { 'Ipfs-Uri': `ipfs://${LISTING_ROOT}/%C4%85/` },
    body: holding('>ę</a>')
  },
  'the page forbids scripts and loads nothing': {
    target: `/ipfs/${LISTING_ROOT}/`,
    expect: { 'Content-Security-Policy': "default-src 'none'; style-src 'unsafe-inline'; img-src data:", 'X-Content-Type-Options': 'nosniff' },
    body: (body) => { assert.ok(!/<script|javascript:|onclick|src=/i.test(body.toString())) }
  },
  'HEAD has the headers of the page': {
    target: `/ipfs/${LISTING_ROOT}/`,
    method: 'HEAD',
    expect: { Etag: /^"DirIndex-/, 'Content-Type': /^text\/html/ },
    body: ''
  },
  'a name that is not there is 404 and named': {
    target: `/ipfs/${LISTING_ROOT}/api/i-do-not-exist`,
    status: 404,
    expect: { 'Ipfs-Uri': `ipfs://${LISTING_ROOT}/api/i-do-not-exist`, 'Content-Type': /^text\/plain/, 'X-Error-Code': 'NOT_FOUND' },
    body: holding('"i-do-not-exist"', 'bafybeiektdp57tp4bnj7q2c4hwqiq55qtidufaxqhtjofyhvtikk2pzhc4')
  },
  'a name below a file is 404': {
    target: `/ipfs/${LISTING_ROOT}/api/file.txt/x`,
    status: 404
  },
  'a page that cannot exist is 400': {
    target: `/ipfs/${LISTING_ROOT}/?page=0`,
    status: 400
  },
  'JSON lists the same': {
    target: `/ipfs/${LISTING_ROOT}/%C4%85/%C4%99`,
    headers: { Accept: 'application/json' },
    expect: { 'Content-Type': 'application/json', Vary: 'Accept' },
    body: (body) => {
      assert.deepEqual(JSON.parse(body.toString()), {
        path: `/ipfs/${LISTING_ROOT}/ą/ę`,
        cid: 'bafybeih24awytf2cmnuycs4nslllfrdzhd6yliyzgd7mxwuxcgv2gm5mda',
        page: 1,
        entries: [{ name: 'file-źł.txt', cid: LISTING_FILE, tsize: 34 }],
        nextPage: null
      })
    }
  }
})

const cacheGateway = gatewayOver(conformance('gateway-cache/fixtures'), { legacyXIpfsPath: true })

testRows('TestGatewayCache', cacheGateway, {
  'a listing is cached for a while': {
    target: `/ipfs/${CACHE.root}/root2/root3/`,
    expect: {
      'X-Ipfs-Path': `/ipfs/${CACHE.root}/root2/root3/`,
      'X-Ipfs-Roots': `${CACHE.root},${CACHE.root2},${CACHE.root3}`,
      Etag: new RegExp(`^"DirIndex-.*_CID-${CACHE.root3}"$`),
      'Cache-Control': GENERATED
    }
  },
  'a directory with index.html is its file, under the tag of the directory': {
    target: `/ipfs/${CACHE.root}/root2/root3/root4/`,
    expect: {
      'Cache-Control': IMMUTABLE,
      'X-Ipfs-Path': `/ipfs/${CACHE.root}/root2/root3/root4/`,
      'X-Ipfs-Roots': `${CACHE.root},${CACHE.root2},${CACHE.root3},${CACHE.root4}`,
      Etag: `"${CACHE.root4}"`,
      'Content-Type': 'text/html',
      'Content-Length': '6'
    },
    body: 'hello\n'
  },
  'a file is cached for ever': {
    target: `/ipfs/${CACHE.root}/root2/root3/root4/index.html`,
    expect: {
      'Cache-Control': IMMUTABLE,
      'X-Ipfs-Path': `/ipfs/${CACHE.root}/root2/root3/root4/index.html`,
      'X-Ipfs-Roots': `${CACHE.root},${CACHE.root2},${CACHE.root3},${CACHE.root4},${CACHE.index}`,
      Etag: `"${CACHE.index}"`,
      'Content-Type': 'text/html'
    }
  },
  'a directory as a raw block': {
    target: `/ipfs/${CACHE.root}/root2/root3/root4/?format=raw`,
    expect: { 'Cache-Control': IMMUTABLE },
    body: Buffer.from('12340a24015512205891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03120a696e6465782e68746d6c18060a020801', 'hex')
  },
  'only-if-cached, here, HEAD': { target: `/ipfs/${CACHE.root}/root2/root3/root4/?format=raw`, method: 'HEAD', headers: { 'Cache-Control': 'only-if-cached' } },
  'only-if-cached, here, GET': { target: `/ipfs/${CACHE.root}/root2/root3/root4/?format=raw`, headers: { 'Cache-Control': 'max-age=0, Only-If-Cached' } },
  'only-if-cached, absent, HEAD': { target: `/ipfs/${ABSENT}`, method: 'HEAD', headers: { 'Cache-Control': 'only-if-cached' }, status: 412 },
  'only-if-cached, absent, GET': { target: `/ipfs/${ABSENT}`, headers: { 'Cache-Control': 'only-if-cached' }, status: 412 },
  'an absent block is 404 and named, with what to try': {
    target: `/ipfs/${ABSENT}`,
    status: 404,
    expect: { 'Cache-Control': 'no-store' },
    body: holding(ABSENT, 'pin')
  },
  'If-None-Match of a file': { target: `/ipfs/${CACHE.root}/root2/root3/root4/index.html`, headers: { 'If-None-Match': `"${CACHE.index}"` }, status: 304, expect: { Etag: `"${CACHE.index}"`, 'Cache-Control': IMMUTABLE, 'Content-Length': undefined } },
  'If-None-Match of a directory with index.html': { target: `/ipfs/${CACHE.root}/root2/root3/root4/`, headers: { 'If-None-Match': `"${CACHE.root4}"` }, status: 304 },
  'If-None-Match, third of a list': { target: `/ipfs/${CACHE.root}/root2/root3/root4/index.html`, headers: { 'If-None-Match': `"fakeEtag1", "fakeEtag2", "${CACHE.index}"` }, status: 304 },
  'If-None-Match, weak': { target: `/ipfs/${CACHE.root}/root2/root3/root4/index.html`, headers: { 'If-None-Match': `W/"${CACHE.index}"` }, status: 304 },
  'If-None-Match, any': { target: `/ipfs/${CACHE.root}/root2/root3/root4/index.html`, headers: { 'If-None-Match': '*' }, status: 304 },
  'If-None-Match of another version': { target: `/ipfs/${CACHE.root}/root2/root3/root4/index.html`, headers: { 'If-None-Match': `"${CACHE.root4}"` }, status: 200 },
  'If-None-Match that is too long': { target: `/ipfs/${CACHE.root}/root2/`, headers: { 'If-None-Match': `"${'x'.repeat(4096)}"` }, status: 400, expect: { 'Ipfs-Uri': `ipfs://${CACHE.root}/root2/` } },
  'If-Match of another version': { target: `/ipfs/${CACHE.root}/root2/root3/root4/index.html`, headers: { 'If-Match': '"other"' }, status: 412 }
})

test('TestGatewayCache: the tag of a listing matches strong and weak, and differs by page', async () => {
  const gateway = await cacheGateway
  const target = `/ipfs/${CACHE.root}/root2/root3/`
  const tag = (await ask(gateway, target)).headers['etag'] ?? ''
  for (const sent of [tag, `W/${tag}`]) {
    const { status, headers } = await ask(gateway, target, { headers: { 'If-None-Match': sent } })
    assert.equal(status, 304)
    assert.equal(headers['cache-control'], GENERATED)
  }
  assert.equal((await ask(gateway, `${target}?page=2`, { headers: { 'If-None-Match': tag } })).status, 200)
})

const SYMLINKS = 'QmWvY6FaqFMS89YAQ9NAPjVP4WZKA1qbHbicc9HeSKQTgt'

testRows('TestGatewaySymlink', gatewayOver(conformance('path_gateway_unixfs/symlink')), {
  'the listing shows both': { target: `/ipfs/${SYMLINKS}/`, body: holding('>foo<', '>bar<') },
  'the directory as a raw block': { target: `/ipfs/${SYMLINKS}?format=raw`, expect: { 'Content-Type': 'application/vnd.ipld.raw', Etag: `"${SYMLINKS}.raw"` } },
  'the symlink is its target': { target: `/ipfs/${SYMLINKS}/bar`, expect: { 'Content-Type': 'inode/symlink', Etag: '"QmTB8BaCJdCH5H3k7GrxJsxgDNmNYGGR71C58ERkivXoj5"' }, body: 'foo' },
  'a path below a symlink does not follow it': { target: `/ipfs/${SYMLINKS}/bar/x`, status: 404 },
  'Etag and roots keep CIDv0, Ipfs-Uri is canonical': {
    target: `/ipfs/${SYMLINKS}/foo`,
    expect: { Etag: '"Qme2y5HA5kvo2jAx13UsnV5bQJVijiAJCPvaW3JGQWhvJZ"', 'X-Ipfs-Roots': `${SYMLINKS},Qme2y5HA5kvo2jAx13UsnV5bQJVijiAJCPvaW3JGQWhvJZ`, 'Ipfs-Uri': /^ipfs:\/\/bafybei[a-z2-7]+\/foo$/ },
    body: 'content\n'
  }
})

const FILES = 'bafybeihchr7vmgjaasntayyatmp5sv6xza57iy2h4xj7g46bpjij6yhrmy'
const ASCII = 'hello application/vnd.ipld.car\n'
const ASCII_CID = 'bafkreifkam6ns4aoolg3wedr4uzrs3kvq66p4pecirz6y2vlrngla62mxm'
const HOLED = 'QmYhmPjhFjYFyaoiuNzYv8WGavpSRDwdHWe5B4M5du5Rtk'
const range = (value: string, more: Record<string, string> = {}): { headers: Record<string, string> } => ({ headers: { Range: value, ...more } })

testRows('TestGatewayUnixFSFileRanges', gatewayOver(conformance('path_gateway_unixfs/dir-with-files', 'trustless_gateway_car/file-3k-and-3-blocks-missing-block')), {
  'a file says that it has ranges': { target: `/ipfs/${FILES}/ascii.txt`, expect: { 'Accept-Ranges': 'bytes', 'Content-Type': 'text/plain; charset=utf-8', 'Content-Length': '31' }, body: ASCII },
  'one range': { target: `/ipfs/${FILES}/ascii.txt`, ...range('bytes=6-16'), status: 206, expect: { 'Content-Range': 'bytes 6-16/31', 'Content-Type': 'text/plain; charset=utf-8', 'Content-Length': '11', Etag: `"${ASCII_CID}"` }, body: 'application' },
  'a suffix': { target: `/ipfs/${FILES}/ascii.txt`, ...range('bytes=-3'), status: 206, expect: { 'Content-Range': 'bytes 28-30/31' }, body: 'ar\n' },
  'several ranges, each with its range and type': {
    target: `/ipfs/${FILES}/ascii.txt`,
    ...range('bytes=6-16,0-4'),
    status: 206,
    expect: { 'Content-Type': /^multipart\/byteranges; boundary=[\w-]+$/, 'Content-Range': undefined },
    body: (body) => {
      assert.match(body.toString(), /^\r\n--([\w-]+)\r\nContent-Type: text\/plain; charset=utf-8\r\nContent-Range: bytes 6-16\/31\r\n\r\napplication\r\n--\1\r\nContent-Type: text\/plain; charset=utf-8\r\nContent-Range: bytes 0-4\/31\r\n\r\nhello\r\n--\1--\r\n$/)
    }
  },
  'together more than the file: all of it': { target: `/ipfs/${FILES}/ascii.txt`, ...range('bytes=0-29,1-30'), body: ASCII },
  'nothing of the file': { target: `/ipfs/${FILES}/ascii.txt`, ...range('bytes=31-'), status: 416, expect: { 'Content-Range': 'bytes */31' } },
  'If-Range of this version': { target: `/ipfs/${FILES}/ascii.txt`, ...range('bytes=0-4', { 'If-Range': `"${ASCII_CID}"` }), status: 206, body: 'hello' },
  'If-Range of another version': { target: `/ipfs/${FILES}/ascii.txt`, ...range('bytes=0-4', { 'If-Range': '"other"' }), body: ASCII },
  'HEAD has no ranges': { target: `/ipfs/${FILES}/ascii.txt`, ...range('bytes=0-4'), method: 'HEAD', expect: { 'Content-Length': '31', 'Content-Range': undefined } },
  'a range over several blocks': { target: `/ipfs/${FILES}/multiblock.txt`, ...range('bytes=250-260,1000-1025'), status: 206, expect: { 'Content-Type': /^multipart/ }, body: holding('Content-Range: bytes 250-260/1026', 'Content-Range: bytes 1000-1025/1026') },
  'a missing block after the range': { target: `/ipfs/${HOLED}`, ...range('bytes=997-1000'), status: 206, expect: { 'Content-Range': 'bytes 997-1000/3072', 'Content-Length': '4', 'Content-Type': 'application/octet-stream' } },
  'a missing block before the range': { target: `/ipfs/${HOLED}`, ...range('bytes=2200-2201'), status: 206, expect: { 'Content-Range': 'bytes 2200-2201/3072', 'Content-Length': '2' } },
  'a missing block inside of the range is 404, not a broken body': { target: `/ipfs/${HOLED}`, ...range('bytes=1000-1500'), status: 404, body: holding('was not found') },
  'a file with a missing block near its start is 404': { target: `/ipfs/${HOLED}`, status: 404 },
  'an identity CID': { target: '/ipfs/bafkqabtimvwgy3yk', expect: { 'Content-Type': 'text/plain; charset=utf-8', 'X-Ipfs-Roots': 'bafkqabtimvwgy3yk' }, body: 'hello\n' },
  'an empty file with a range': { target: '/ipfs/bafkqaaa', ...range('bytes=0-'), expect: { 'Content-Length': '0', 'Content-Range': undefined }, body: '' }
})

const ENCODED = 'bafybeig675grnxcmshiuzdaz2xalm6ef4thxxds6o6ypakpghm5kghpc34'

testRows('TestPathGatewayMiscellaneous', gatewayOver(conformance('path_gateway_unixfs/dir-with-percent-encoded-filename')), {
  'a name is decoded once': { target: `/ipfs/${ENCODED}/Portugal%252C+Espa%C3%B1a=Peninsula%20Ib%C3%A9rica.txt`, body: 'hello from a percent encoded filename\n' },
  'a plus is not a space': { target: `/ipfs/${ENCODED}/Portugal%252C%20Espa%C3%B1a=Peninsula%20Ib%C3%A9rica.txt`, status: 404 },
  'nor is a name decoded twice': { target: `/ipfs/${ENCODED}/Portugal%2C+Espa%C3%B1a=Peninsula%20Ib%C3%A9rica.txt`, status: 404 }
})

const TIMES = 'bafybeifup24mfbx6iv4xo7k664gzlezzurdnyb36pogxulrb7ed23cxtym'

testRows('Modification times', gatewayOver(['boxo/unixfs-dir-with-mode-mtime.car']), {
  'a file with one says so': { target: `/ipfs/${TIMES}/file1`, expect: { 'Last-Modified': 'Mon, 13 Jun 2022 22:18:32 GMT', 'Content-Length': '0' } },
  'not modified since': { target: `/ipfs/${TIMES}/file1`, headers: { 'If-Modified-Since': 'Mon, 13 Jun 2022 22:18:32 GMT' }, status: 304 },
  'modified since': { target: `/ipfs/${TIMES}/file1`, headers: { 'If-Modified-Since': 'Mon, 13 Jun 2022 22:18:31 GMT' } },
  'a file without one says nothing': { target: '/ipfs/bafkqabtimvwgy3yk', expect: { 'Last-Modified': undefined } },
  'a listing has none': { target: `/ipfs/${TIMES}/dir1/`, expect: { 'Last-Modified': undefined } }
})

const SPECIAL = 'bafybeiebgctytpwjp7suihumuyckgbx2wuofmjjncavkamhjen3jpd7vda'

testRows('Names with special characters', gatewayOver(['boxo/dir-special-chars.car']), {
  'are escaped in a listing, and link to what they name': {
    target: `/ipfs/${SPECIAL}/`,
    body: (body) => {
      holding(`<a href="/ipfs/${SPECIAL}/foo%3F%20%23%3C&#39;">foo? #&lt;&#39;</a>`, 'filename=foo%253F%2520%2523%253C%27')(body)
      assert.ok(!body.includes("#<'"))
    }
  },
  'lead to their file': { target: `/ipfs/${SPECIAL}/foo%3F%20%23%3C'/bar/file.txt`, expect: { 'Ipfs-Uri': `ipfs://${SPECIAL}/foo%3F%20%23%3C%27/bar/file.txt` }, body: '3' },
  'are redirected with their encoding': { target: `/ipfs/${SPECIAL}/foo%3f%20%23%3c%27/bar`, status: 301, expect: { Location: `/ipfs/${SPECIAL}/foo%3F%20%23%3C'/bar/` } }
})

testRows('Stricter rows', gatewayOver(conformance('path_gateway_unixfs/dir-with-files')), {
  'another method is 405 and says which are allowed': { target: `/ipfs/${FILES}`, method: 'POST', status: 405, expect: { Allow: 'GET, HEAD, OPTIONS' } },
  'a service worker for a whole root': { target: `/ipfs/${FILES}`, headers: { 'Service-Worker': 'script' }, status: 400 },
  'a service worker below a root': { target: `/ipfs/${FILES}/ascii.txt`, headers: { 'Service-Worker': 'script' } },
  'a superfluous namespace': { target: `/ipfs/ipfs/${FILES}/ascii.txt?a=b`, status: 301, expect: { Location: `/ipfs/${FILES}/ascii.txt?a=b` } },
  'a superfluous namespace before a name': { target: '/ipfs/ipns/example.org/x', status: 301, expect: { Location: '/ipns/example.org/x' } },
  'a superfluous namespace before nonsense': { target: '/ipfs/ipfs/nonsense', status: 400 },
  'an ipfs:// address': { target: `/ipfs/?uri=ipfs%3A%2F%2F${FILES}%2Fa%2520b%3Fx%3Dy`, status: 301, expect: { Location: `/ipfs/${FILES}/a%20b?x=y` } },
  'an ipns:// address': { target: '/ipns/?uri=IPNS%3A%2F%2Fexample.org', status: 301, expect: { Location: '/ipns/example.org' } },
  'an address of another kind': { target: '/ipfs/?uri=https%3A%2F%2Fexample.org', status: 400 },
  'an address that would leave the gateway': { target: '/ipfs/?uri=ipfs%3A%2F%2F%2F%2Fexample.org', status: 301, expect: { Location: '/ipfs/example.org' } },
  'a namespace alone': { target: '/ipfs/', status: 400 },
  'nothing of ours': { target: '/favicon.ico', status: 404 },
  'a name': { target: '/ipns/example.org/x', status: 501, body: holding('example.org') },
  'an IPNS record below /ipfs': { target: `/ipfs/${FILES}?format=ipns-record`, status: 400 },
  'an IPNS record with a path': { target: '/ipns/example.org/x?format=ipns-record', status: 400 },
  'an IPNS record': { target: '/ipns/example.org?format=ipns-record', status: 501 },
  'not a CID': { target: '/ipfs/QmInvalidCID', status: 400, body: holding('invalid path "/ipfs/QmInvalidCID"') },
  'a CID in base16': { target: `/ipfs/${CID.parse(ASCII_CID).toString(base16)}`, expect: { 'Ipfs-Uri': `ipfs://${ASCII_CID}`, Etag: `"${ASCII_CID}"` }, body: ASCII },
  'a CID in base36': { target: `/ipfs/${CID.parse(ASCII_CID).toString(base36)}`, expect: { 'Ipfs-Uri': `ipfs://${ASCII_CID}` }, body: ASCII },
  'a CID in base58': { target: `/ipfs/${CID.parse(ASCII_CID).toString(base58btc)}`, expect: { 'Ipfs-Uri': `ipfs://${ASCII_CID}` }, body: ASCII },
  'a CID in base32, uppercase': { target: `/ipfs/${ASCII_CID.toUpperCase()}`, expect: { 'Ipfs-Uri': `ipfs://${ASCII_CID}` }, body: ASCII },
  'a CID of a hash that nobody here can check': { target: `/ipfs/${CID.createV1(0x55, createDigest(0x22, new Uint8Array(8)))}`, status: 501, body: holding('Hash function 0x22') },
  'a CID of too short a digest': { target: `/ipfs/${CID.createV1(0x55, createDigest(0x12, new Uint8Array(8)))}`, status: 400 },
  'an identity CID that is too long': { target: `/ipfs/${CID.createV1(0x55, createDigest(0, new Uint8Array(129)))}`, status: 400 },
  'a name for saving': { target: `/ipfs/${FILES}/ascii.txt?filename=test%D1%82%D0%B5%D1%81%D1%82.pdf`, expect: { 'Content-Disposition': `inline; filename="test____.pdf"; filename*=UTF-8''test%D1%82%D0%B5%D1%81%D1%82.pdf`, 'Content-Type': 'application/pdf' } },
  'saving without a name': { target: `/ipfs/${FILES}/ascii.txt?download=true`, expect: { 'Content-Disposition': `attachment; filename="ascii.txt"; filename*=UTF-8''ascii.txt` } },
  'a name that breaks headers': { target: `/ipfs/${FILES}/ascii.txt?filename=a%0D%0AX-Evil%3A%20%22%00`, expect: { 'Content-Disposition': /^inline; filename="aX-Evil: _"; / } },
  'a page for people': { target: '/ipfs/QmInvalidCID%3Cscript%3E', status: 400, headers: { Accept: 'text/html' }, expect: { 'Content-Type': 'text/html; charset=utf-8', 'Content-Security-Policy': /default-src 'none'/, 'X-Content-Type-Options': 'nosniff' }, body: (body) => { assert.ok(body.includes('&lt;script&gt;') && !body.includes('<script>')) } },
  'an error of HEAD has no body': { target: '/ipfs/QmInvalidCID', method: 'HEAD', status: 400, expect: { 'Content-Length': /^\d+$/ }, body: '' },
  'Accept that is too long': { target: `/ipfs/${FILES}/ascii.txt`, headers: { Accept: 'a/b,'.repeat(1200) }, status: 400 },
  'Vary says that Accept matters': { target: `/ipfs/${FILES}/ascii.txt`, expect: { Vary: 'Accept' } },
  'Vary is left out when the URL decides': { target: `/ipfs/${FILES}/ascii.txt?format=raw`, expect: { Vary: undefined } }
})
