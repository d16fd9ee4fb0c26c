import * as oracle from '@ipld/dag-pb'
import fc from 'fast-check'
import { CID } from 'multiformats/cid'
import { create as createDigest } from 'multiformats/hashes/digest'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CODECS } from './codecs.ts'
import { type DagPbLink, type DagPbNode, decodeDagPb, encodeDagPb, encodedLinkByteLength, MAX_DAG_PB_LINKS, ProtobufReader, varintLength, writeVarint } from './dag-pb.ts'
import { isErrorCode, isHoldfastError } from './errors.ts'

const cid = CID.parse('bafybeiczsscdsbs7ffqz55asqdf3smv6klcw3gofszvwlyarci47bgf354')

function linkOf (name: string, tsize: number | undefined = 4): DagPbLink {
  return { cid, name: Buffer.from(name), tsize }
}

/** One field of type "bytes". */
function field (number: number, bytes: Uint8Array): Uint8Array {
  const head = new Uint8Array(1 + varintLength(bytes.byteLength))
  head[0] = number << 3 | 2
  writeVarint(head, 1, bytes.byteLength)
  return Buffer.concat([head, bytes])
}

const HASH = field(1, cid.bytes)
const NAME = field(2, Buffer.from('a'))
const TSIZE = Uint8Array.of(0x18, 0x04)
const LINK = field(2, Buffer.concat([HASH, NAME, TSIZE]))
const DATA = field(1, Uint8Array.of(0x08, 0x01))

const anyCid = fc.oneof(
  fc.uint8Array({ minLength: 32, maxLength: 32 }).map((digest) => CID.createV1(CODECS.raw, createDigest(0x12, digest))),
  fc.uint8Array({ minLength: 32, maxLength: 32 }).map((digest) => CID.create(0, CODECS.dagPb, createDigest(0x12, digest))),
  fc.tuple(fc.nat(0x3fffff), fc.uint8Array({ maxLength: 64 })).map(([codec, digest]) => CID.createV1(codec, createDigest(0x1e, digest)))
)

/** Links in canonical order, which the oracle insists on; the writer leaves the order to its caller. */
const anyNode: fc.Arbitrary<DagPbNode> = fc.record({
  links: fc.array(fc.record({
    cid: anyCid,
    name: fc.string({ unit: 'grapheme', maxLength: 20 }).map((name): Uint8Array => new TextEncoder().encode(name)),
    tsize: fc.option(fc.maxSafeNat(), { nil: undefined })
  }), { maxLength: 8 }).map((links) => links.toSorted((a, b) => Buffer.compare(a.name, b.name))),
  data: fc.option(fc.uint8Array({ maxLength: 200 }), { nil: undefined })
})

function toOracle ({ links, data }: DagPbNode): oracle.PBNode {
  return oracle.prepare({
    Links: links.map(({ cid, name, tsize }) => ({ Hash: cid, Name: Buffer.from(name).toString(), ...(tsize !== undefined && { Tsize: tsize }) })),
    ...(data !== undefined && { Data: data })
  })
}

function shown ({ links, data }: DagPbNode): unknown {
  return {
    links: links.map(({ cid, name, tsize }) => `${cid} ${Buffer.from(name).toString('hex')} ${tsize}`),
    data: data === undefined ? undefined : Buffer.from(data).toString('hex')
  }
}

test('the bytes of any node are those of @ipld/dag-pb, and are read back as the node', () => {
  fc.assert(fc.property(anyNode, (node) => {
    const bytes = encodeDagPb(node)
    assert.equal(Buffer.compare(bytes, oracle.encode(toOracle(node))), 0)
    assert.deepEqual(shown(decodeDagPb(bytes)), shown(node))
  }), { numRuns: 1000 })
})

test('changed bytes are read as @ipld/dag-pb reads them, or refused with a typed error', () => {
  const change = fc.tuple(fc.nat(), fc.nat(255))
  fc.assert(fc.property(anyNode, fc.array(change, { minLength: 1, maxLength: 3 }), (node, changes) => {
    const bytes = encodeDagPb(node)
    for (const [at, byte] of changes) if (bytes.byteLength > 0) bytes[at % bytes.byteLength] = byte
    const theirs = attempt(() => oracle.decode(bytes))
    const ours = attempt(() => decodeDagPb(bytes))
    if (ours instanceof Error) {
      assert.ok(isHoldfastError(ours), String(ours))
      // The oracle rounds integers above 2^53 - 1.
      assert.ok(theirs instanceof Error || ours.message.includes('2^53'), `${ours.message}: ${Buffer.from(bytes).toString('hex')}`)
    } else {
      assert.ok(!(theirs instanceof Error), `we read what the oracle refuses: ${Buffer.from(bytes).toString('hex')}`)
      assert.deepEqual(withTextNames(ours), withTextNames(fromOracle(theirs)))
    }
  }), { numRuns: 3000 })
})

function attempt<T> (run: () => T): T | Error {
  try {
    return run()
  } catch (err) {
    assert.ok(err instanceof Error)
    return err
  }
}

function fromOracle ({ Links, Data }: oracle.PBNode): DagPbNode {
  return { links: Links.map(({ Hash, Name, Tsize }) => ({ cid: Hash, name: Buffer.from(Name ?? ''), tsize: Tsize })), data: Data }
}

/** The oracle decodes names with losses, so only what is left of them can be compared. */
function withTextNames (node: DagPbNode): unknown {
  return shown({ ...node, links: node.links.map((link) => ({ ...link, name: Buffer.from(new TextDecoder().decode(link.name)) })) })
}

test('the empty UnixFS directory has the bytes and links that Kubo gives it', () => {
  const bytes = Uint8Array.of(0x0a, 0x02, 0x08, 0x01)
  assert.deepEqual(shown(decodeDagPb(bytes)), { links: [], data: '0801' })
  assert.deepEqual(encodeDagPb({ links: [], data: Uint8Array.of(8, 1) }), bytes)
  assert.deepEqual(shown(decodeDagPb(new Uint8Array())), { links: [], data: undefined })
})

test('data is read before the links as well as after, but not between them or twice', () => {
  const node = { links: [`${cid} 61 4`], data: '0801' }
  assert.deepEqual(shown(decodeDagPb(Buffer.concat([LINK, DATA]))), node)
  assert.deepEqual(shown(decodeDagPb(Buffer.concat([DATA, LINK]))), node)
  assert.deepEqual(shown(decodeDagPb(Buffer.concat([DATA, LINK, LINK]))), { ...node, links: [...node.links, ...node.links] })
  for (const parts of [[LINK, DATA, LINK], [DATA, DATA], [DATA, LINK, DATA]]) {
    assert.throws(() => decodeDagPb(Buffer.concat(parts)), (err) => isErrorCode(err, 'INVALID'))
  }
})

test('links without name or Tsize are read, and one without a CID is not', () => {
  assert.deepEqual(shown(decodeDagPb(field(2, HASH))), { links: [`${cid}  undefined`], data: undefined })
  assert.deepEqual(shown(decodeDagPb(field(2, Buffer.concat([HASH, TSIZE])))), { links: [`${cid}  4`], data: undefined })
  assert.throws(() => decodeDagPb(field(2, NAME)), (err) => isErrorCode(err, 'INVALID'))
})

test('bytes that are no DAG-PB are INVALID', () => {
  const links = [
    [], [NAME, HASH], [TSIZE, HASH], [HASH, TSIZE, NAME], [HASH, HASH], [HASH, NAME, NAME], [HASH, TSIZE, TSIZE],
    [field(1, cid.bytes.subarray(0, -1))], [field(1, Buffer.concat([cid.bytes, Uint8Array.of(0)]))], [field(1, new Uint8Array())],
    [HASH, field(4, new Uint8Array())], [HASH, Uint8Array.of(0x10, 0x01)], [HASH, Uint8Array.of(0x1a, 0x01, 0x01)]
  ].map((parts) => field(2, Buffer.concat(parts)))
  const nodes = [
    Uint8Array.of(0x0a), Uint8Array.of(0x0a, 0x02, 0x08), Uint8Array.of(0x0a, 0x80), Uint8Array.of(0x08, 0x01), Uint8Array.of(0x1a, 0x00),
    Uint8Array.of(0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f), LINK.subarray(0, -1), Uint8Array.of(0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff)
  ]
  for (const bytes of [...links, ...nodes]) {
    assert.throws(() => decodeDagPb(bytes), (err) => isErrorCode(err, 'INVALID'), Buffer.from(bytes).toString('hex'))
  }
})

test('a Tsize is exact up to 2^53 - 1 and refused above', () => {
  const linkWith = (tsize: number[]): Uint8Array => field(2, Buffer.concat([HASH, Uint8Array.of(0x18, ...tsize)]))
  const [link] = decodeDagPb(linkWith([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f])).links
  assert.equal(link?.tsize, Number.MAX_SAFE_INTEGER)
  assert.throws(() => decodeDagPb(linkWith([0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x10])), (err) => isErrorCode(err, 'INVALID'))
})

test('names that differ only in bytes that are no text stay different', () => {
  const names = [Buffer.from([0xff]), Buffer.from([0xfe]), Buffer.from('\ufffd'), Buffer.from([0x61, 0x00]), Buffer.from('a')]
  const { links } = decodeDagPb(encodeDagPb({ links: names.map((name) => ({ cid, name, tsize: 1 })), data: undefined }))
  assert.deepEqual(links.map(({ name }) => Buffer.from(name).toString('hex')), names.map((name) => name.toString('hex')))
})

test('as many links as the limit are read, and one more is LIMIT, at once', () => {
  const smallest = field(2, field(1, Uint8Array.of(1, 0x55, 0, 0)))
  const most = Buffer.concat(Array.from({ length: MAX_DAG_PB_LINKS }, () => smallest))
  assert.equal(decodeDagPb(most).links.length, MAX_DAG_PB_LINKS)

  const flood = Buffer.alloc(2 * 1024 * 1024, smallest)
  assert.throws(() => decodeDagPb(flood), (err) => isErrorCode(err, 'LIMIT'))
  assert.throws(() => decodeDagPb(Buffer.alloc(2 * 1024 * 1024, Uint8Array.of(0x12, 0x00))), (err) => isErrorCode(err, 'INVALID'), 'links without anything')
})

test('a link adds to a node exactly the bytes that are said', () => {
  for (const link of [linkOf(''), linkOf('a'), linkOf('x'.repeat(127)), linkOf('x'.repeat(128)), linkOf('ä', 2 ** 40), { ...linkOf('a'), tsize: undefined }]) {
    const before = encodeDagPb({ links: [linkOf('a')], data: Uint8Array.of(8, 1) })
    const after = encodeDagPb({ links: [linkOf('a'), link], data: Uint8Array.of(8, 1) })
    assert.equal(after.byteLength - before.byteLength, encodedLinkByteLength(link))
  }
})

test('names and data are views, not copies', () => {
  const bytes = encodeDagPb({ links: [linkOf('a')], data: Uint8Array.of(8, 1) })
  const { links, data } = decodeDagPb(bytes)
  assert.equal(links[0]?.name.buffer, bytes.buffer)
  assert.equal(data?.buffer, bytes.buffer)
})

test('any safe integer goes through a varint of the length that is said', () => {
  fc.assert(fc.property(fc.maxSafeNat(), (value) => {
    const bytes = new Uint8Array(varintLength(value))
    assert.equal(writeVarint(bytes, 0, value), bytes.byteLength)
    const reader = new ProtobufReader(bytes)
    assert.equal(reader.varint(), value)
    assert.equal(reader.done, true)
  }))
})

test('any 64 bits go through a signed varint, and ten bytes are the most', () => {
  fc.assert(fc.property(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), (value) => {
    let rest = BigInt.asUintN(64, value)
    const bytes: number[] = []
    for (; rest >= 0x80n; rest >>= 7n) bytes.push(Number(rest & 0x7fn) | 0x80)
    assert.equal(new ProtobufReader(Uint8Array.of(...bytes, Number(rest))).varint64(), value)
  }))
  for (const bytes of [[], [0x80], Array.from({ length: 11 }, () => 0x80)]) {
    assert.throws(() => new ProtobufReader(Uint8Array.from(bytes)).varint64(), (err) => isErrorCode(err, 'INVALID'))
  }
})
