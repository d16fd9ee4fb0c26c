import { silentLogger } from '@holdfast/core'
import type { PeerStream } from '@holdfast/network'
import { encode } from '@ipld/dag-cbor'
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test, type TestContext } from 'node:test'
import { newIdentities } from '../../test/identities.ts'
import { openCluster, openNode, type TestNode, until, untilSame } from '../../test/nodes.ts'
import { cidOf, Replica, shown } from '../../test/replica.ts'
import { MAX_CLOCK_LEAD_MS } from '../limits.ts'
import { parseRecord } from '../record/parse-record.ts'
import { signGenesis, signPin } from '../record/sign-record.ts'
import { openRecordStore } from '../store/record-store.ts'
import { frameOf, readFrames } from './frames.ts'
import { type Answer, decodeAnswer, decodeRequest, encodeAnswer, encodeRequest, RECORDS_PROTOCOL, type Request } from './messages.ts'
import { RecordLink } from './record-link.ts'
import { reconcile } from './reconcile.ts'

/** A cluster of one, and a member of it that speaks as it likes: its own replication is closed. */
async function withRogue (context: TestContext): Promise<{ node: TestNode, rogue: TestNode, replica: Replica, hello: Extract<Request, { t: 'hello' }> }> {
  const [node, rogue] = await openCluster(context, 2)
  assert.ok(node !== undefined && rogue !== undefined)
  await untilSame([node, rogue])
  await rogue.replication[Symbol.asyncDispose]()
  await using store = await openRecordStore({ identity: rogue.identity, journal: rogue.journal, log: silentLogger, now: Date.now })
  assert.ok(store.cluster !== undefined)
  const { map } = store.cluster
  const replica = new Replica(rogue.identity, map.genesis)
  replica.learn([...map.records()].map(({ bytes }) => parseRecord(Buffer.from(bytes, 'latin1'))).filter((record) => record.kind !== 'genesis'))
  return { node, rogue, replica, hello: { t: 'hello', v: 1, cluster: map.cluster, proof: [] } }
}

async function openGreeted (rogue: TestNode, node: TestNode, hello: Request): Promise<{ stream: PeerStream, answers: AsyncGenerator<Uint8Array> }> {
  const stream = await rogue.host.openStream(node.identity.peerId, [RECORDS_PROTOCOL])
  await stream.write(frameOf(encodeRequest(hello)))
  const answers = readFrames(stream.read())
  const { value } = await answers.next()
  assert.ok(value instanceof Uint8Array)
  assert.equal(decodeAnswer(value).t, 'hello')
  return { stream, answers }
}

/** Sends bytes after hello and waits for the stream to be reset. */
async function sendUntilReset (rogue: TestNode, node: TestNode, hello: Request, parts: readonly Uint8Array[]): Promise<void> {
  const { stream, answers } = await openGreeted(rogue, node, hello)
  await stream.write(parts).catch(() => {})
  await assert.rejects(Array.fromAsync(answers))
}

test('nonsense, huge messages, a second hello and records that nobody signed cost the stream, and nothing changes', async (context) => {
  const { node, rogue, replica, hello } = await withRogue(context)
  const { root } = node.replication.stats()
  const good = replica.writer.pin({ pinId: randomBytes(16), op: 'put', cid: cidOf(0), mode: 'recursive', copies: { min: 1, max: 1 }, origin: rogue.identity.peerId, createdMs: 1 })
  const forged = good.bytes.slice()
  // Somewhere in the signature.
  forged[30] = (forged[30] ?? 0) ^ 1
  const bad: Record<string, readonly Uint8Array[]> = {
    'a length of 2 MiB': [Buffer.from([0xff, 0xff, 0x7f])],
    'a length without an end': [Buffer.from([0xff, 0xff, 0xff, 0xff])],
    'no dag-cbor': frameOf(Buffer.from([0xff])),
    'an unknown message': frameOf(encode({ t: 'vote' })),
    'a second hello': frameOf(encodeRequest(hello)),
    'nodes below the buckets': frameOf(encode({ t: 'nodes', level: 4, of: [0] })),
    'a bucket that is not there': frameOf(encode({ t: 'list', of: [65_536], after: new Uint8Array() })),
    'half a hash': frameOf(encode({ t: 'get', hashes: new Uint8Array(33) })),
    'too many nodes': frameOf(encode({ t: 'nodes', level: 3, of: Array.from({ length: 257 }, () => 0) })),
    'deep nesting': frameOf(Buffer.concat([Buffer.alloc(10_000, 0x81), Buffer.from([0])])),
    'a forged record': frameOf(encode({ t: 'push', records: [forged] })),
    'a record of 9 KiB': frameOf(encode({ t: 'push', records: [new Uint8Array(9 * 1024)] }))
  }
  for (const parts of Object.values(bad)) await sendUntilReset(rogue, node, hello, parts)
  assert.equal(node.replication.stats().root, root)
  assert.equal(node.replication.stats().waitingCount, 0)

  // And whoever behaves is served.
  const { stream } = await openGreeted(rogue, node, hello)
  await stream.write(frameOf(encodeRequest({ t: 'push', records: [good.bytes] })))
  await until(() => node.replication.stats().pinCount === 1)
})

test('records that are replayed, of another cluster, of a stranger or from the future do not count', async (context) => {
  const { node, rogue, replica, hello } = await withRogue(context)
  const [stranger] = await newIdentities(1)
  assert.ok(stranger !== undefined)
  const fields = { cluster: replica.map.cluster, pinId: randomBytes(16), op: 'put' as const, cid: cidOf(0), mode: 'recursive' as const, copies: { min: 1, max: 1 }, origin: rogue.identity.peerId, createdMs: 1, seq: 100, context: new Map() }
  const late = Date.now() + MAX_CLOCK_LEAD_MS + 60_000
  const mine = replica.put({ name: 'mine' })
  const records = [
    mine, mine,
    signPin(rogue.identity, { ...fields, hlc: [late, 0] }),
    signPin(rogue.identity, { ...fields, cluster: new Uint8Array(32), hlc: [1, 0] }),
    signPin(stranger, { ...fields, hlc: [1, 0] })
  ].map(({ bytes }) => bytes)
  const { stream } = await openGreeted(rogue, node, hello)
  for (let round = 0; round < 3; round++) await stream.write(frameOf(encodeRequest({ t: 'push', records })))
  await until(() => node.replication.stats().waitingCount === 2 && node.replication.stats().pinCount > 0)
  assert.equal(node.replication.stats().pinCount, 1)
})

test('who is no member is refused, and one of another cluster too', async (context) => {
  const { node, hello } = await withRogue(context)
  const stranger = await openNode(context)
  await stranger.host.connect(node.host.address)
  const replica = new Replica(stranger.identity, signGenesis(stranger.identity, { name: 'theirs', nonce: new Uint8Array(16), createdMs: 1 }))
  const forged = replica.writer.member({ peer: stranger.identity.peerId, role: 'admin', state: 'active' })
  const greetings: Request[] = [hello, { ...hello, cluster: replica.map.cluster }, { ...hello, proof: [forged.bytes] }]
  for (const greeting of greetings) {
    const stream = await stranger.host.openStream(node.identity.peerId, [RECORDS_PROTOCOL])
    await stream.write(frameOf(encodeRequest(greeting)))
    await stream.write(frameOf(encodeRequest({ t: 'nodes', level: 0, of: [0] }))).catch(() => {})
    const answers = (await Array.fromAsync(readFrames(stream.read())).catch(() => [])).map((bytes) => decodeAnswer(bytes).t)
    assert.deepEqual(answers, ['refused'])
  }
  assert.equal(node.replication.members().length, 2)
  assert.equal(node.replication.stats().waitingCount, 0)
})

/** A member that answers as a test says, asked by a real node. */
async function roundWith (context: TestContext, answer: (request: Request) => Answer): Promise<{ error: unknown, questionCount: number, before: unknown, after: unknown }> {
  const { node, rogue } = await withRogue(context)
  await node.replication.putPin({ cid: cidOf(0) })
  await node.replication[Symbol.asyncDispose]()
  await using store = await openRecordStore({ identity: node.identity, journal: node.journal, log: silentLogger, now: Date.now })
  assert.ok(store.cluster !== undefined)
  let questionCount = 0
  await using _ = await rogue.host.handle([RECORDS_PROTOCOL], async (stream) => {
    for await (const frame of readFrames(stream.read())) {
      questionCount++
      await stream.write(frameOf(encodeAnswer(answer(decodeRequest(frame)))))
    }
  })
  const before = shown(store.cluster.map)
  const link = new RecordLink(await node.host.openStream(rogue.identity.peerId, [RECORDS_PROTOCOL]), node.host.holdBytes(rogue.identity.peerId))
  const error = await reconcile(store, link).then(() => undefined, (err: unknown) => err)
  link.end(new Error('The test is over'))
  return { error, questionCount, before, after: shown(store.cluster.map) }
}

const wrongNodes: Answer = { t: 'nodes', hashes: Buffer.alloc(512, 7) }
const nodesFor = (request: Request): Answer => request.t === 'nodes' ? { t: 'nodes', hashes: Buffer.alloc(request.of.length * 512, 7) } : wrongNodes

let hashCount = 0

/** Hashes that rise for ever. */
function nextHash (): string {
  const bytes = Buffer.alloc(32)
  bytes.writeUInt32BE(++hashCount)
  return bytes.toString('latin1')
}

const ROGUE_ANSWERS: Record<string, (request: Request) => Answer> = {
  'too few nodes': () => ({ t: 'nodes', hashes: new Uint8Array(32) }),
  'something else than was asked': () => ({ t: 'records', records: [] }),
  'lists of records that it does not have': (request) => request.t === 'list'
    ? { t: 'list', lists: request.of.map(() => [randomBytes(32).toString('latin1')]), isCut: false }
    : request.t === 'get' ? { t: 'records', records: [] } : nodesFor(request),
  'a list that never ends': (request) => request.t === 'list'
    ? { t: 'list', lists: [Array.from({ length: 512 }, () => nextHash())], isCut: true }
    : request.t === 'get' ? { t: 'records', records: [] } : nodesFor(request),
  'records that were not asked for': (request) => request.t === 'list'
    ? { t: 'list', lists: request.of.map(() => [randomBytes(32).toString('latin1')]), isCut: false }
    : request.t === 'get' ? { t: 'records', records: [new Uint8Array(100)] } : nodesFor(request)
}

for (const [what, answer] of Object.entries(ROGUE_ANSWERS)) {
  test(`a round with a member that sends ${what} ends soon, and changes nothing`, async (context) => {
    const { error, questionCount, before, after } = await roundWith(context, answer)
    assert.ok(error instanceof Error)
    assert.ok(questionCount < 1500, `${questionCount} questions`)
    assert.deepEqual(after, before)
  })
}
