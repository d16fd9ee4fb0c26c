/**
 * Rows of the public conformance suite for TAR, and hostile trees.
 *
 * @see https://github.com/ipfs/gateway-conformance v0.13.2 tests/path_gateway_tar_test.go
 */
import { MemoryBlockstore } from '@holdfast/blockstore'
import { Block, CODECS, encodeDagPb, silentLogger } from '@holdfast/core'
import { encodeUnixFs } from '@holdfast/dag'
import type { CID } from 'multiformats/cid'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createGateway, type GatewayOptions } from './gateway.ts'
import { type Answer, ask, conformance, gatewayOver, readTar, testRows } from './harness.test.ts'

const ROOT = 'bafybeig6ka5mlwkl4subqhaiatalkcleo4jgnr3hqwvpmsqfca27cijp3i'
const FILE = 'bafkreialihlqnf5uwo4byh4n3cmwlntwqzxxs2fg5vanqdi3d7tb2l5xkm'
const INSIDE = 'bafybeibfevfxlvxp5vxobr5oapczpf7resxnleb7tkqmdorc4gl5cdva3y'
const OUTSIDE = 'bafybeicaj7kvxpcv4neaqzwhrqqmdstu4dhrwfpknrgebq6nzcecfucvyu'
const TEXT = 'I am a txt file on path with utf8\n'

testRows('TestTar', gatewayOver([...conformance('path_gateway_tar/fixtures', 'path_gateway_tar/inside-root', 'path_gateway_tar/outside-root', 'path_gateway_unixfs/symlink'), 'boxo/unixfs-dir-with-mode-mtime.car']), {
  'a file, by format': {
    target: `/ipfs/${FILE}?format=tar`,
    expect: { 'Content-Disposition': `attachment; filename="${FILE}.tar"; filename*=UTF-8''${FILE}.tar`, Etag: `W/"${FILE}.x-tar"`, 'Content-Type': 'application/x-tar', 'X-Content-Type-Options': 'nosniff', 'Cache-Control': 'public, max-age=29030400, immutable' },
    body: async (body) => { assert.deepEqual(await readTar(body), { [FILE]: TEXT }) }
  },
  'a file, by Accept': {
    target: `/ipfs/${FILE}`,
    headers: { Accept: 'application/x-tar' },
    expect: { Etag: `W/"${FILE}.x-tar"`, 'Content-Type': 'application/x-tar', 'Content-Location': `/ipfs/${FILE}?format=tar` },
    body: async (body) => { assert.deepEqual(await readTar(body), { [FILE]: TEXT }) }
  },
  'a directory': {
    target: `/ipfs/${ROOT}?format=tar`,
    body: async (body) => {
      const files = await readTar(body)
      assert.equal(files[`${ROOT}/ą/ę/file-źł.txt`], TEXT)
      assert.deepEqual(Object.keys(files), [ROOT, `${ROOT}/api`, `${ROOT}/api/file.txt`, `${ROOT}/ipfs`, `${ROOT}/ipfs/file.txt`, `${ROOT}/ipns`, `${ROOT}/ipns/file.txt`, `${ROOT}/ą`, `${ROOT}/ą/ę`, `${ROOT}/ą/ę/file-źł.txt`])
    }
  },
  'a path: the top is the CID at its end': {
    target: `/ipfs/${ROOT}/%C4%85/%C4%99/file-%C5%BA%C5%82.txt?format=tar`,
    body: async (body) => { assert.deepEqual(await readTar(body), { [FILE]: TEXT }) }
  },
  'a name': { target: `/ipfs/${ROOT}?filename=test%D1%82%D0%B5%D1%81%D1%82.tar&format=tar`, expect: { 'Content-Disposition': `attachment; filename="test____.tar"; filename*=UTF-8''test%D1%82%D0%B5%D1%81%D1%82.tar` } },
  'a name that leads out of the root fails': { target: `/ipfs/${OUTSIDE}?format=tar`, status: 400 },
  'a name that stays inside is resolved': {
    target: `/ipfs/${INSIDE}?format=tar`,
    body: async (body) => { assert.equal((await readTar(body))[`${INSIDE}/foobar/file`], 'Hello, world!\n') }
  },
  'a symlink stays one': {
    target: '/ipfs/QmWvY6FaqFMS89YAQ9NAPjVP4WZKA1qbHbicc9HeSKQTgt?format=tar',
    body: async (body) => {
      const top = 'QmWvY6FaqFMS89YAQ9NAPjVP4WZKA1qbHbicc9HeSKQTgt'
      assert.deepEqual(await readTar(body), { [top]: '(directory)', [`${top}/bar`]: '(symlink foo)', [`${top}/foo`]: 'content\n' })
    }
  },
  'HEAD reads nothing below the root': { target: `/ipfs/${OUTSIDE}?format=tar`, method: 'HEAD', expect: { Etag: `W/"${OUTSIDE}.x-tar"` } },
  'a TAR that the client has': { target: `/ipfs/${ROOT}?format=tar`, headers: { 'If-None-Match': `W/"${ROOT}.x-tar"` }, status: 304 }
})

const blocks = new MemoryBlockstore()

async function put (bytes: Uint8Array, codec: number = CODECS.raw): Promise<CID> {
  const block = await Block.of(bytes, { codec })
  await blocks.put(block)
  return block.cid
}

async function directory (...entries: ReadonlyArray<readonly [name: string | Uint8Array, cid: CID]>): Promise<CID> {
  const links = entries.map(([name, cid]) => ({ name: typeof name === 'string' ? Buffer.from(name) : name, cid, tsize: 1 }))
  return await put(encodeDagPb({ links, data: encodeUnixFs({ type: 'directory' }) }), CODECS.dagPb)
}

async function symlink (target: string): Promise<CID> {
  return await put(encodeDagPb({ links: [], data: encodeUnixFs({ type: 'symlink', data: Buffer.from(target) }) }), CODECS.dagPb)
}

async function tarOf (root: CID, options: Partial<GatewayOptions> = {}): Promise<Answer> {
  return await ask(createGateway({ blocks, log: silentLogger, ...options }), `/ipfs/${root}?format=tar`)
}

const file = await put(Buffer.from('x'))
const folder = await directory(['passwd', file])

for (const [why, root] of Object.entries({
  'climbs': await directory(['../x', file]),
  'is ..': await directory(['..', folder]),
  'climbs after going down': await directory(['a/../../x', file]),
  'is absolute': await directory(['/etc/passwd', file]),
  'holds a NUL': await directory(['a\0b', file]),
  'is empty': await directory(['', file]),
  'is a dot': await directory(['.', file]),
  'climbs on Windows': await directory(['..\\x', file]),
  'climbs on Windows, deeper': await directory(['a\\..\\..\\x', file]),
  'is not UTF-8': await directory([Uint8Array.of(0xff), file]),
  'climbs from below': await directory(['a', await directory(['../../x', file])]),
  'goes through a symlink': await directory(['a', await symlink('/etc')], ['a/passwd', file]),
  'is that of a symlink before it': await directory(['a', await symlink('/etc/passwd')], ['a', file]),
  'goes through a symlink on a file system without case': await directory(['Link', await symlink('/etc')], ['lINK/passwd', file]),
  'goes through a symlink in another Unicode form': await directory(['\u00e9', await symlink('/etc')], ['e\u0301/passwd', file]),
  'is that of a symlink before it, as a directory': await directory(['a', await symlink('/etc')], ['a', folder]),
  'is that of a symlink from a subdirectory': await directory(['d', await directory(['../a', await symlink('/etc')])], ['a', folder])
})) {
  test(`a TAR is refused with 400 when the name of an entry ${why}`, async () => {
    assert.equal((await tarOf(root)).status, 400)
  })
}

test('names with odd characters that stay inside are kept', async () => {
  const names = ['a b', 'ä/b', '...', 'a\\b', '-rf', `long-${'n'.repeat(250)}`, `long-${'ż'.repeat(120)}/${'ó'.repeat(120)}`]
  const root = await directory(...names.map((name): [string, CID] => [name, file]))
  const found = await readTar((await tarOf(root)).body)
  assert.deepEqual(Object.keys(found), [root, ...names.map((name) => `${root}/${name}`)].map(String))
})

test('the same tree always gives the same bytes, with mode and time where UnixFS has them', async () => {
  const bytes = encodeDagPb({ links: [], data: encodeUnixFs({ type: 'file', data: Buffer.from('y'), byteLength: 1, mode: 0o600, mtime: { seconds: 1_600_000_000n, nanoseconds: 5 } }) })
  const root = await directory(['a', file], ['b', await put(bytes, CODECS.dagPb)], ['c', await put(encodeDagPb({ links: [], data: encodeUnixFs({ type: 'file', byteLength: 0, mtime: { seconds: -5n, nanoseconds: 0 } }) }), CODECS.dagPb)])
  const first = (await tarOf(root)).body
  assert.deepEqual((await tarOf(root)).body, first)
  const { unpackTar } = await import('modern-tar')
  const entries = await unpackTar(first, { strict: true })
  assert.deepEqual(entries.map(({ header: { mode, mtime } }) => [mode, mtime?.getTime()]), [[0o755, 0], [0o644, 0], [0o600, 1_600_000_000_000], [0o644, 0]])
})

test('an entry that is not UnixFS fails the TAR', async () => {
  assert.equal((await tarOf(await directory(['a', await put(Buffer.from('{}'), CODECS.dagJson)]))).status, 501)
})

test('a tree that is too deep, or has too many entries, fails', async () => {
  let deep = await directory(['x', file])
  for (let level = 0; level < 130; level++) deep = await directory(['d', deep])
  // Its headers alone are longer than what is read before the status goes out.
  await assert.rejects(tarOf(deep), { code: 'LIMIT' })
  let wide = file
  for (let level = 0; level < 12; level++) wide = await directory(['a', wide], ['b', wide])
  assert.equal((await tarOf(wide, { limits: { maxTarEntryCount: 50 } })).status, 413)
  assert.equal((await tarOf(await directory(['n'.repeat(4097), file]))).status, 413)
})

test('a TAR that breaks off midway never ends as if it were complete', async () => {
  const large = await put(Buffer.alloc(256 * 1024, 'z'))
  const missing = (await Block.of(Buffer.from('never stored'))).cid
  const root = await directory(['a', large], ['b', missing])
  const response = await createGateway({ blocks, log: silentLogger }).handle({ method: 'GET', target: `/ipfs/${root}?format=tar`, headers: {}, signal: new AbortController().signal })
  assert.equal(response.status, 200)
  assert.equal(response.body?.byteLength, undefined)
  let readBytes = 0
  await assert.rejects(async () => {
    for await (const piece of response.body?.read() ?? []) readBytes += piece.byteLength
  }, { code: 'NOT_FOUND' })
  assert.ok(readBytes >= 256 * 1024)
})
