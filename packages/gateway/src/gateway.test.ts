import { type Blockstore, MemoryBlockstore } from '@holdfast/blockstore'
import { Block, CODECS, encodeDagPb, HoldfastError, type Logger, silentLogger } from '@holdfast/core'
import { encodeUnixFs } from '@holdfast/dag'
import { countingBlockstore, faultyBlockstore } from '@holdfast/testkit'
import fc from 'fast-check'
import type { CID } from 'multiformats/cid'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { createGateway } from './gateway.ts'
import { ask, holding } from './harness.test.ts'
import { LISTING_PAGE_ENTRIES } from './limits.ts'

async function put (store: Blockstore, bytes: Uint8Array, codec: number = CODECS.raw): Promise<CID> {
  const block = await Block.of(bytes, { codec })
  await store.put(block)
  return block.cid
}

async function putDirectory (store: Blockstore, entries: ReadonlyArray<readonly [name: string, cid: CID]>): Promise<CID> {
  const links = entries.map(([name, cid]) => ({ name: Buffer.from(name), cid, tsize: 5 }))
  return await put(store, encodeDagPb({ links, data: encodeUnixFs({ type: 'directory' }) }), CODECS.dagPb)
}

async function putFile (store: Blockstore, leaves: readonly CID[], lengths: readonly number[]): Promise<CID> {
  const data = encodeUnixFs({ type: 'file', byteLength: lengths.reduce((sum, length) => sum + length, 0), blockByteLengths: lengths })
  return await put(store, encodeDagPb({ links: leaves.map((cid) => ({ name: new Uint8Array(), cid, tsize: 1 })), data }), CODECS.dagPb)
}

test('HEAD and 304 of a named file read its root only, and nothing at all the second time', async () => {
  const { store, counts } = countingBlockstore(new MemoryBlockstore())
  const leaf = await put(store, Buffer.alloc(1000, 'a'))
  const file = await putFile(store, [leaf, leaf], [1000, 1000])
  const root = await putDirectory(store, [['a.txt', file]])
  const gateway = createGateway({ blocks: store, log: silentLogger })

  const { headers } = await ask(gateway, `/ipfs/${root}/a.txt`, { method: 'HEAD' })
  assert.equal(headers['content-length'], '2000')
  assert.equal(counts.get, 2)
  await ask(gateway, `/ipfs/${root}/a.txt`, { method: 'HEAD' })
  assert.equal((await ask(gateway, `/ipfs/${root}/a.txt`, { headers: { 'If-None-Match': headers['etag'] ?? '' } })).status, 304)
  assert.equal(counts.get, 2)
})

test('a range reads the blocks it needs and no others', async () => {
  const { store, counts } = countingBlockstore(new MemoryBlockstore())
  const leaves = await Promise.all(Array.from({ length: 50 }, async (_, index) => await put(store, Buffer.alloc(1000, `${index} `))))
  const file = await putFile(store, leaves, leaves.map(() => 1000))
  const gateway = createGateway({ blocks: store, log: silentLogger })
  counts.get = 0
  const { body } = await ask(gateway, `/ipfs/${file}?filename=a.bin`, { headers: { Range: 'bytes=24990-25009' } })
  assert.equal(body.byteLength, 20)
  assert.ok(counts.get <= 4, `${counts.get} blocks`)
})

test('the type of a file is told from its first block alone, and remembered only when it could be told', async () => {
  const store = new MemoryBlockstore()
  const first = await Block.of(Buffer.alloc(1000, 'some text '))
  const second = await Block.of(Buffer.alloc(1000, 'more text '))
  const file = await putFile(store, [first.cid, second.cid], [1000, 1000])
  const gateway = createGateway({ blocks: store, log: silentLogger })
  const typeOf = async (): Promise<string | undefined> => (await ask(gateway, `/ipfs/${file}`, { method: 'HEAD' })).headers['content-type']

  await store.put(second)
  assert.equal(await typeOf(), 'application/octet-stream')
  await store.put(first)
  await store.delete(second.cid)
  assert.equal(await typeOf(), 'text/plain; charset=utf-8')
})

test('content that was removed is 404, though its path is remembered', async () => {
  const store = new MemoryBlockstore()
  const file = await put(store, Buffer.from('here'))
  const root = await putDirectory(store, [['a.txt', file]])
  const gateway = createGateway({ blocks: store, log: silentLogger })
  assert.equal((await ask(gateway, `/ipfs/${root}/a.txt`)).status, 200)
  await store.delete(file)
  assert.equal((await ask(gateway, `/ipfs/${root}/a.txt`)).status, 404)
})

test('only-if-cached reads nothing that is not here', async () => {
  const { store, counts } = countingBlockstore(new MemoryBlockstore())
  const file = await put(store, Buffer.from('far away'))
  const root = await putDirectory(store, [['a.txt', file]])
  const gateway = createGateway({ blocks: store, log: silentLogger, isLocal: async (cid) => cid.equals(root) })
  counts.get = 0
  const headers = { 'Cache-Control': 'only-if-cached' }
  assert.equal((await ask(gateway, `/ipfs/${root}/a.txt`, { headers, method: 'HEAD' })).status, 200)
  assert.equal(counts.get, 0)
  const { status, body } = await ask(gateway, `/ipfs/${root}/a.txt`, { headers })
  assert.equal(status, 412)
  holding('/a.txt')(body)
  assert.equal(counts.get, 1)
  assert.equal((await ask(gateway, `/ipfs/${file}`, { headers })).status, 412)
  assert.equal((await ask(gateway, `/ipfs/${root}/a.txt`)).status, 200)
})

test('a directory is listed without reading what is in it, a page at a time', async () => {
  const { store, counts } = countingBlockstore(new MemoryBlockstore())
  const absent = (await Block.of(Buffer.from('never stored'))).cid
  const count = 2 * LISTING_PAGE_ENTRIES + 1
  const root = await putDirectory(store, Array.from({ length: count }, (_, index) => [`file-${String(index).padStart(5, '0')}`, absent]))
  const gateway = createGateway({ blocks: store, log: silentLogger })
  const page = async (number: number): Promise<string> => (await ask(gateway, `/ipfs/${root}/?page=${number}`)).body.toString()

  counts.get = 0
  const [first, second, third, fourth] = [await page(1), await page(2), await page(3), await page(4)]
  assert.ok(counts.get <= 4 + 2, `${counts.get} blocks`)
  assert.deepEqual([first, second, third, fourth].map((text) => text.match(/>file-\d+</g)?.length ?? 0), [LISTING_PAGE_ENTRIES, LISTING_PAGE_ENTRIES, 1, 0])
  assert.ok(first?.includes('>file-00000<') && second?.includes('>file-01000<') && third?.includes('>file-02000<'))
  assert.deepEqual([first, second, third].map((text) => [text?.includes('href="?page=2" rel="next"'), text?.includes('rel="prev"')]), [[true, false], [false, true], [false, true]])

  const json = JSON.parse((await ask(gateway, `/ipfs/${root}?format=json&page=3`)).body.toString())
  assert.deepEqual(json, { path: `/ipfs/${root}`, cid: root.toString(), page: 3, entries: [{ name: 'file-02000', cid: absent.toString(), tsize: 5 }], nextPage: null })
  assert.equal(JSON.parse((await ask(gateway, `/ipfs/${root}?format=json`)).body.toString()).nextPage, 2)
})

test('hostile names cannot break out of a listing', async () => {
  const store = new MemoryBlockstore()
  const file = await put(store, Buffer.from('x'))
  const names = ['<script>alert(1)</script>', '"><img src=x onerror=alert(1)>', "'onmouseover='x", 'javascript:alert(1)', '\u202egnp.exe', '&lt;b&gt;', ']]>', '//evil.example']
  const root = await putDirectory(store, names.map((name) => [name, file]))
  const text = (await ask(createGateway({ blocks: store, log: silentLogger }), `/ipfs/${root}/`)).body.toString()
  assert.doesNotMatch(text, /<script|<img|href="javascript|href="\/\/|href='/i)
  for (const [, href = ''] of text.matchAll(/ href="([^"]*)"/g)) assert.match(href, /^(?:data:,$|\?|\/ipfs\/[\w\-.~%!$&;#()*+,=:@/?]*$)/)
  assert.ok(text.includes('&lt;script&gt;alert(1)&lt;/script&gt;</a></bdi>'))
})

test('an index.html that is no file does not hide the listing', async () => {
  const store = new MemoryBlockstore()
  const root = await putDirectory(store, [['index.html', await putDirectory(store, [])]])
  holding('Index of', '>index.html<')((await ask(createGateway({ blocks: store, log: silentLogger }), `/ipfs/${root}/`)).body)
})

test('an index.html that is not here is 404, not a listing', async () => {
  const store = new MemoryBlockstore()
  const root = await putDirectory(store, [['index.html', (await Block.of(Buffer.from('gone'))).cid]])
  assert.equal((await ask(createGateway({ blocks: store, log: silentLogger }), `/ipfs/${root}/`)).status, 404)
})

test('no request makes the gateway throw, answer 500, or send what HTTP cannot carry', async () => {
  const store = new MemoryBlockstore()
  const root = await putDirectory(store, [['a', await put(store, Buffer.from('x'))]])
  const gateway = createGateway({ blocks: store, log: silentLogger, legacyXIpfsPath: true })
  const path = fc.array(fc.constantFrom('/', '..', '.', '%2F', '%00', '%', 'a', 'ą', `${root}`, 'ipfs', 'ipns', '?', '&', '=', '#', 'format=', 'car', 'raw', 'tar', 'json', 'uri=ipfs://', 'entity-bytes=', '-1:*', 'filename=', '%0d%0a', 'page=', '9', '"', '\\', '\u{1f680}'), { maxLength: 16 })
  const header = fc.constantFrom('accept', 'range', 'if-none-match', 'if-modified-since', 'if-range', 'cache-control', 'service-worker')
  const value = fc.oneof(fc.string(), fc.constantFrom('bytes=0-', 'bytes=-1,0-0', 'text/html', 'application/vnd.ipld.car;dups=y', 'application/json', 'only-if-cached', '*', 'script', 'W/"', '"x"'))
  await fc.assert(fc.asyncProperty(path, fc.dictionary(header, value, { maxKeys: 4 }), fc.constantFrom('GET', 'HEAD', 'OPTIONS', 'PUT'), async (parts, headers, method) => {
    for (const prefix of ['', '/ipfs/', `/ipfs/${root}/`, `/ipfs/${root}?`]) {
      const { status } = await ask(gateway, prefix + parts.join(''), { method, headers: { ...headers } })
      assert.ok([200, 206, 301, 304, 400, 404, 405, 406, 412, 416, 501].includes(status), String(status))
    }
  }), { numRuns: 300 })
})

test('a failure of a disk is 503 with Retry-After, says nothing of the disk, and is logged', async () => {
  const lines: unknown[] = []
  const log: Logger = { ...silentLogger, error (message, fields) { lines.push([message, fields]) } }
  const error = new HoldfastError('UNAVAILABLE', 'Cannot read /home/user/.holdfast/blocks/AA: EIO', { path: '/home/user/.holdfast' })
  const gateway = createGateway({ blocks: faultyBlockstore(new MemoryBlockstore(), { failGetAt: 1, error }), log })
  const { status, headers, body } = await ask(gateway, '/ipfs/QmYzfKSE55XCjD1MW128RfciAf2DViABhEiXfgVFMabSjN')
  assert.equal(status, 503)
  assert.equal(headers['retry-after'], '60')
  assert.ok(!body.includes('/home'), body.toString())
  assert.equal(lines.length, 1)
})

test('a fault that nobody foresaw is 500 without its words or its stack', async () => {
  const gateway = createGateway({ blocks: faultyBlockstore(new MemoryBlockstore(), { failGetAt: 1, error: new TypeError('secret.x is not a function') }), log: silentLogger })
  for (const accept of ['text/html', 'text/plain']) {
    const { status, headers, body } = await ask(gateway, '/ipfs/QmYzfKSE55XCjD1MW128RfciAf2DViABhEiXfgVFMabSjN', { headers: { Accept: accept } })
    if (accept === 'text/html') assert.equal(status, 500)
    assert.ok(!/secret|\bat .*\.ts|node:/.test(body.toString()))
    assert.equal(headers['x-content-type-options'], 'nosniff')
  }
})

test('a file whose lengths do not add up is 500 and not served', async () => {
  const store = new MemoryBlockstore()
  const leaf = await put(store, Buffer.alloc(100))
  const file = await putFile(store, [leaf], [5000])
  const { status } = await ask(createGateway({ blocks: store, log: silentLogger }), `/ipfs/${file}?filename=a.bin`)
  assert.equal(status, 500)
})

test('a request that was given up rejects with the reason, whatever it was doing', async () => {
  const reason = new Error('changed my mind')
  const blocks = faultyBlockstore(new MemoryBlockstore(), { delayMs: 10_000 })
  const gateway = createGateway({ blocks, log: silentLogger })
  for (const query of ['', '?format=raw', '?format=car', '?format=tar']) {
    const controller = new AbortController()
    const answer = ask(gateway, `/ipfs/QmYzfKSE55XCjD1MW128RfciAf2DViABhEiXfgVFMabSjN/a${query}`, { signal: controller.signal })
    setTimeout(() => { controller.abort(reason) }, 1)
    await assert.rejects(answer, (err) => err === reason)
  }
  await assert.rejects(ask(gateway, '/ipfs/bafkqaaa', { signal: AbortSignal.abort(reason) }), (err) => err === reason)
})

test('what is remembered does not keep the blocks that it was read from', async () => {
  const store = new MemoryBlockstore()
  const leaf = await put(store, Buffer.from('x'))
  const gateway = createGateway({ blocks: store, log: silentLogger })
  const root = await putDirectory(store, [['x'.repeat(1_000_000), leaf], ['a', leaf]])
  const memory = await memoryOf(store, root)
  assert.equal((await ask(gateway, `/ipfs/${root}/a`)).status, 200)
  await store.delete(root)
  await setImmediate()
  collectGarbage()
  assert.ok(memory.deref() === undefined, 'the block is gone')
  assert.equal((await ask(gateway, `/ipfs/${root}/a`)).status, 200)
})

/** Not read in the test itself, whose frame would hold on to them. */
async function memoryOf (store: Blockstore, cid: CID): Promise<WeakRef<ArrayBufferLike>> {
  return new WeakRef((await store.get(cid))?.bytes.buffer ?? assert.fail())
}

function collectGarbage (): void {
  setFlagsFromString('--expose-gc')
  runInNewContext('gc')()
}
