import { isErrorCode, isHoldfastError } from '@holdfast/core'
import fc from 'fast-check'
import { UnixFS } from 'ipfs-unixfs'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { decodeUnixFs, encodeUnixFs, type UnixFsData } from './unixfs.ts'

const timeArbitrary = fc.record({ seconds: fc.bigInt({ min: -(2n ** 62n), max: 2n ** 62n }), nanoseconds: fc.integer({ min: 0, max: 999_999_999 }) }, { noNullPrototype: true })

const lengthArbitrary = fc.oneof(fc.nat(300), fc.maxSafeNat())

const messageArbitrary: fc.Arbitrary<UnixFsData> = fc.record({
  type: fc.constantFrom('raw', 'directory', 'file', 'metadata', 'symlink', 'hamt-sharded-directory'),
  data: fc.option(fc.uint8Array({ maxLength: 300 }), { nil: undefined }),
  byteLength: fc.option(lengthArbitrary, { nil: undefined }),
  blockByteLengths: fc.array(lengthArbitrary, { maxLength: 20 }),
  hashType: fc.option(lengthArbitrary, { nil: undefined }),
  fanout: fc.option(lengthArbitrary, { nil: undefined }),
  mode: fc.option(fc.integer({ min: 0, max: 0o7777 }), { nil: undefined }),
  mtime: fc.option(timeArbitrary, { nil: undefined })
}, { noNullPrototype: true })

test('what is written is what is read', () => {
  fc.assert(fc.property(messageArbitrary, (message) => {
    assert.deepEqual(decodeUnixFs(encodeUnixFs(message)), message)
  }), { numRuns: 500 })
})

test('files, directories, shards and symlinks have the bytes that ipfs-unixfs gives them', () => {
  const cases: Array<[ours: UnixFsData, theirs: ConstructorParameters<typeof UnixFS>[0]]> = [
    [{ type: 'directory' }, { type: 'directory' }],
    [{ type: 'file', byteLength: 0 }, { type: 'file' }],
    [{ type: 'file', data: Buffer.from('abc'), byteLength: 3 }, { type: 'file', data: Buffer.from('abc') }],
    [{ type: 'raw', data: Buffer.from('abc'), byteLength: 3 }, { type: 'raw', data: Buffer.from('abc') }],
    [{ type: 'file', byteLength: 2 ** 40 + 5, blockByteLengths: [2 ** 40, 5] }, { type: 'file', blockSizes: [2n ** 40n, 5n] }],
    [{ type: 'hamt-sharded-directory', data: Uint8Array.of(3, 1), hashType: 0x22, fanout: 256 }, { type: 'hamt-sharded-directory', data: Uint8Array.of(3, 1), hashType: 0x22n, fanout: 256n }],
    [{ type: 'symlink', data: Buffer.from('../target') }, { type: 'symlink', data: Buffer.from('../target') }],
    [{ type: 'file', byteLength: 0, mode: 0o755, mtime: { seconds: -5n, nanoseconds: 7 } }, { type: 'file', mode: 0o755, mtime: { secs: -5n, nsecs: 7 } }],
    [{ type: 'directory', mode: 0o700, mtime: { seconds: 5n, nanoseconds: 0 } }, { type: 'directory', mode: 0o700, mtime: { secs: 5n } }]
  ]
  for (const [ours, theirs] of cases) {
    assert.deepEqual(Buffer.from(encodeUnixFs(ours)), Buffer.from(new UnixFS(theirs).marshal()), JSON.stringify(ours, (_, value: unknown) => typeof value === 'bigint' ? `${value}` : value))
  }
})

test('reads whatever ipfs-unixfs writes', () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 50 }), fc.array(fc.bigInt({ min: 0n, max: 2n ** 50n }), { maxLength: 8 }), fc.option(fc.integer({ min: 0, max: 0o7777 }), { nil: undefined }), (data, blockSizes, mode) => {
    const theirs = new UnixFS({ type: 'file', data, blockSizes, ...(mode !== undefined && { mode }) })
    const ours = decodeUnixFs(theirs.marshal())
    assert.equal(ours.type, 'file')
    assert.deepEqual(Buffer.from(ours.data ?? []), Buffer.from(data))
    assert.deepEqual(ours.blockByteLengths, blockSizes.map(Number))
    assert.equal(ours.byteLength, Number(theirs.fileSize()))
    assert.equal(ours.mode ?? 0o644, mode ?? 0o644)
  }))
})

test('block sizes may be packed, as proto3 writers do', () => {
  assert.deepEqual(decodeUnixFs(Uint8Array.of(0x08, 2, 0x22, 3, 5, 0x80, 1)).blockByteLengths, [5, 128])
})

test('unknown fields are passed over', () => {
  const known = encodeUnixFs({ type: 'file', byteLength: 9 })
  const unknown = { varint: [0x78, 0x80, 1], 'eight bytes': [0x79, ...Buffer.alloc(8)], bytes: [0x7a, 2, 1, 2], 'four bytes': [0x7d, 0, 0, 0, 0] }
  for (const [kind, field] of Object.entries(unknown)) {
    assert.equal(decodeUnixFs(Buffer.concat([Buffer.from(field), known])).byteLength, 9, kind)
  }
})

test('what is not UnixFS is refused', () => {
  const inputs: Record<string, number[]> = {
    'nothing': [],
    'no type': [0x18, 5],
    'an unknown type': [0x08, 6],
    'data that ends outside': [0x08, 2, 0x12, 5, 1],
    'a varint cut short': [0x08, 2, 0x18, 0x80],
    'a length above 2^53': [0x08, 2, 0x18, ...Array.from({ length: 9 }, () => 0xff), 1],
    'an end of group': [0x08, 2, 0x7c],
    'a time without seconds': [0x08, 2, 0x42, 5, 0x15, 1, 0, 0, 0],
    'a fraction of a second above one': [0x08, 2, 0x42, 7, 0x08, 1, 0x15, 0, 0xca, 0x9a, 0x3b]
  }
  for (const [kind, bytes] of Object.entries(inputs)) {
    assert.throws(() => decodeUnixFs(Uint8Array.from(bytes)), (err) => isErrorCode(err, 'INVALID'), kind)
  }
})

test('two megabytes of block sizes end at the limit', () => {
  const packed = Buffer.concat([Buffer.of(0x08, 2), ...Array.from({ length: 70_000 }, () => Buffer.of(0x20, 1))])
  assert.throws(() => decodeUnixFs(packed), (err) => isErrorCode(err, 'LIMIT'))
})

test('random bytes and mutations are read or refused, never a crash', () => {
  const mutated = fc.tuple(messageArbitrary, fc.array(fc.tuple(fc.nat(400), fc.nat(255)), { maxLength: 4 })).map(([message, edits]) => {
    const bytes = encodeUnixFs(message)
    for (const [at, value] of edits) if (at < bytes.byteLength) bytes[at] = value
    return bytes
  })
  fc.assert(fc.property(fc.oneof(fc.uint8Array({ maxLength: 200 }), mutated), (bytes) => {
    try {
      decodeUnixFs(bytes)
    } catch (err) {
      assert.ok(isHoldfastError(err), String(err))
    }
  }), { numRuns: 2000 })
})
