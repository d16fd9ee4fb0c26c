import { isErrorCode } from '@holdfast/core'
import fc from 'fast-check'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { boundaryOf, MAX_PART_HEADER_BYTES, MAX_PART_HEADERS, MAX_PREAMBLE_BYTES, parseMultipart } from './multipart.ts'

interface Part {
  readonly headers: Readonly<Record<string, string>>
  readonly content: Buffer
}

const BOUNDARY = '--xYz'

function encode (parts: readonly Part[], { boundary = BOUNDARY, preamble = '', epilogue = '\r\n' } = {}): Buffer {
  const pieces = parts.flatMap(({ headers, content }, index) => [
    Buffer.from(`${index === 0 ? preamble : '\r\n'}--${boundary}\r\n${Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n`),
    content
  ])
  return Buffer.concat([...pieces, Buffer.from(`${parts.length === 0 ? preamble : '\r\n'}--${boundary}--${epilogue}`)])
}

async function * cut (bytes: Buffer, lengths: readonly number[]): AsyncIterable<Uint8Array> {
  for (let at = 0, turn = 0; at < bytes.byteLength; turn++) {
    const length = lengths[turn % lengths.length] ?? bytes.byteLength
    yield bytes.subarray(at, at + length)
    at += length
  }
}

async function decode (body: AsyncIterable<Uint8Array>, boundary: string = BOUNDARY): Promise<Part[]> {
  const parts: Part[] = []
  for await (const { headers, content } of parseMultipart(body, boundary)) {
    parts.push({ headers: Object.fromEntries(headers), content: Buffer.concat(await Array.fromAsync(content)) })
  }
  return parts
}

/** Content that likes to look like a boundary. */
const contentArbitrary = fc.array(fc.oneof(
  fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes)),
  fc.constantFrom('\r', '\n', '\r\n', '\r\n-', '\r\n--', `\r\n--${BOUNDARY.slice(0, -1)}`, `--${BOUNDARY}`, '\r\r\n--').map((text) => Buffer.from(text))
), { maxLength: 8 }).map((pieces) => Buffer.concat(pieces)).filter((content) => !Buffer.concat([Buffer.from('\r\n'), content, Buffer.from('\r\n')]).includes(`\r\n--${BOUNDARY}`))

const partArbitrary = fc.record({
  headers: fc.dictionary(fc.stringMatching(/^[a-z-]{1,12}$/), fc.stringMatching(/^[!-~]([ -~]{0,20}[!-~])?$/), { maxKeys: 4, noNullPrototype: true }),
  content: contentArbitrary
}, { noNullPrototype: true })

test('parts come out as they went in, however the body is cut into pieces', async () => {
  await fc.assert(fc.asyncProperty(fc.array(partArbitrary, { maxLength: 4 }), fc.array(fc.integer({ min: 1, max: 30 }), { minLength: 1 }), fc.constantFrom('', 'read me\r\n'), async (parts, lengths, preamble) => {
    assert.deepEqual(await decode(cut(encode(parts, { preamble }), lengths)), parts)
  }), { numRuns: 500 })
})

test('a body that ends anywhere before its last boundary is INVALID, and never looks whole', async () => {
  const whole = encode([{ headers: { a: 'b' }, content: Buffer.from('content') }, { headers: {}, content: Buffer.from('more') }], { epilogue: '' })
  for (let length = 0; length < whole.byteLength; length++) {
    await assert.rejects(decode(cut(whole.subarray(0, length), [7])), (err) => isErrorCode(err, 'INVALID'), `${length} bytes`)
  }
  assert.equal((await decode(cut(whole, [7]))).length, 2)
})

test('random bytes never do more than fail', async () => {
  await fc.assert(fc.asyncProperty(fc.array(fc.oneof(fc.uint8Array({ maxLength: 30 }), fc.constantFrom(`--${BOUNDARY}\r\n`, `\r\n--${BOUNDARY}--`, 'a: b\r\n', '\r\n').map((text) => Buffer.from(text))), { maxLength: 12 }), async (pieces) => {
    try {
      await decode(cut(Buffer.concat(pieces), [5]))
    } catch (err) {
      assert.ok(isErrorCode(err, 'INVALID') || isErrorCode(err, 'LIMIT'), String(err))
    }
  }), { numRuns: 500 })
})

test('content that nobody read is passed over', async () => {
  const body = encode([{ headers: { n: '1' }, content: Buffer.alloc(1000) }, { headers: { n: '2' }, content: Buffer.from('here') }])
  const seen: string[] = []
  for await (const { headers, content } of parseMultipart(cut(body, [64]), BOUNDARY)) {
    seen.push(headers.get('n') ?? '')
    if (headers.get('n') === '2') assert.equal(Buffer.concat(await Array.fromAsync(content)).toString(), 'here')
  }
  assert.deepEqual(seen, ['1', '2'])
})

test('headers, their number and what stands before the first boundary are bounded before they are held', async () => {
  async function * endless (beginning: string): AsyncIterable<Uint8Array> {
    yield Buffer.from(beginning)
    for (let sent = 0; sent < 64; sent++) yield Buffer.alloc(4096, 'x')
    assert.fail('nobody stopped reading')
  }
  const many = `--${BOUNDARY}\r\n${'a: b\r\n'.repeat(MAX_PART_HEADERS + 1)}\r\n`
  for (const beginning of ['', `--${BOUNDARY}`, `--${BOUNDARY}\r\nname: `, many]) {
    await assert.rejects(decode(endless(beginning)), (err) => isErrorCode(err, 'LIMIT'), beginning.slice(0, 20))
  }
  const longest = 'v'.repeat(MAX_PART_HEADER_BYTES - 'n: '.length)
  assert.equal((await decode(cut(encode([{ headers: { n: longest }, content: Buffer.from('c') }]), [1000])))[0]?.headers.n, longest)
  await assert.rejects(decode(cut(encode([{ headers: { n: `${longest}v` }, content: Buffer.from('c') }]), [1000])), (err) => isErrorCode(err, 'LIMIT'))
  await assert.rejects(decode(cut(encode([], { preamble: `${'p'.repeat(MAX_PREAMBLE_BYTES + 1)}\r\n` }), [1000])), (err) => isErrorCode(err, 'LIMIT'))
})

test('content is handed on as it comes, not gathered', async () => {
  let sent = 0
  async function * body (): AsyncIterable<Uint8Array> {
    yield Buffer.from(`--${BOUNDARY}\r\n\r\n`)
    for (;;) {
      sent += 65_536
      yield Buffer.alloc(65_536)
    }
  }
  let got = 0
  for await (const { content } of parseMultipart(body(), BOUNDARY)) {
    for await (const piece of content) {
      got += piece.byteLength
      assert.ok(sent - got <= 2 * 65_536, `${sent} sent, ${got} got`)
      if (got > 10_000_000) return
    }
  }
})

test('the boundary is read from the content type, and nothing else is taken for one', () => {
  assert.equal(boundaryOf('multipart/form-data; boundary=abc'), 'abc')
  assert.equal(boundaryOf('Multipart/Form-Data; charset=utf-8; Boundary="a b:c"; x=y'), 'a b:c')
  const bad = ['', 'text/plain; boundary=abc', 'multipart/form-data', 'multipart/form-data; boundary=', 'multipart/form-data; boundary=""', `multipart/form-data; boundary=${'x'.repeat(71)}`, 'multipart/form-data; boundary="a\r\nb"', 'multipart/form-data; boundary="ends "', 'multipart/form-datax; boundary=abc']
  for (const type of bad) assert.throws(() => boundaryOf(type), (err) => isErrorCode(err, 'INVALID'), type)
})
