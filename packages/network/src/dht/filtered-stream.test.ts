import { HoldfastError } from '@holdfast/core'
import type { Stream } from '@libp2p/interface'
import { AbstractStream, type SendResult, streamPair } from '@libp2p/utils'
import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { until } from '../../test/harness.ts'
import { ByteLedger } from '../limits/byte-ledger.ts'
import { quietLogger } from '../quiet-logger.ts'
import { Backlog } from './backlog.ts'
import { frame } from './dht-message.ts'
import { filteredStream, type MessageFilter, MESSAGES_PER_TURN, OVER_RATE_PAUSE_MS } from './filtered-stream.ts'

const ONE_FLOOD = 20 * MESSAGES_PER_TURN

interface Filtered {
  readonly peer: Stream
  readonly stream: Stream
  readonly ledger: ByteLedger
  /** When each message was looked at. */
  readonly lookedAtMs: number[]
}

/** The library's half of a stream whose other half is this test. The library's own pair keeps what was sent through it. */
class Inner extends AbstractStream {
  constructor () {
    super({ id: '1', log: quietLogger.forComponent('test'), direction: 'inbound' })
  }

  override sendData ({ byteLength }: { byteLength: number }): SendResult { return { sentBytes: byteLength, canSendMore: true } }
  override sendReset (): void {}
  override sendPause (): void {}
  override sendResume (): void {}
  override async sendCloseWrite (): Promise<void> {}
  override async sendCloseRead (): Promise<void> {}
}

async function newPair (context: TestContext, options: Partial<MessageFilter> = {}): Promise<Filtered> {
  const [peer, inner] = await streamPair()
  return { peer, ...newFiltered(context, inner, options) }
}

function newFiltered (context: TestContext, inner: Stream, options: Partial<MessageFilter>): Omit<Filtered, 'peer'> {
  const ledger = new ByteLedger(() => {})
  const lookedAtMs: number[] = []
  const received = (message: Uint8Array): Uint8Array => {
    lookedAtMs.push(performance.now())
    return message
  }
  const filter: MessageFilter = { maxReceivedBytes: 1 << 20, maxSentBytes: 1 << 20, received, sent: (message) => message, isOverRate: false, ...options }
  const stream = filteredStream(inner, filter, { counter: { sentBytes: 0, receivedBytes: 0 }, held: ledger.hold('peer'), backlog: new Backlog() })
  context.after(() => { stream.abort(new Error('The test is over')) })
  return { stream, ledger, lookedAtMs }
}

function flood (count: number): Uint8Array {
  return Buffer.concat(Array.from({ length: count }, (_, index) => frame(Uint8Array.of(index % 256))))
}

/** Bytes that come out of a stream. */
function readInto (stream: Stream, out: number[]): void {
  stream.addEventListener('message', ({ data }) => { out.push(...data.subarray()) })
}

test('of a flood in one piece a few messages are looked at in each turn, all in order, and the end comes last', async (context) => {
  const perTurn: number[] = []
  let count = 0
  const { peer, stream } = await newPair(context, { received: (message) => { count++; return message } })
  const out: number[] = []
  let isEnded = false
  stream.addEventListener('remoteCloseWrite', () => { isEnded = true })
  readInto(stream, out)
  peer.send(flood(ONE_FLOOD))
  await peer.close()
  while (!isEnded) {
    const before = count
    await turn()
    perTurn.push(count - before)
  }
  assert.deepEqual(out, [...flood(ONE_FLOOD)])
  assert.equal(count, ONE_FLOOD)
  assert.ok(Math.max(...perTurn) <= 2 * MESSAGES_PER_TURN, perTurn.join())
})

test('streams that are behind take turns', async () => {
  const backlog = new Backlog()
  const done: string[] = []
  backlog.add(() => { done.push('one'); backlog.add(() => { done.push('one again') }) })
  const forgotten = (): void => { done.push('forgotten') }
  backlog.add(forgotten)
  backlog.add(() => { done.push('other') })
  backlog.delete(forgotten)
  await turn()
  assert.deepEqual(done, ['one'])
  await until(() => done.length === 3)
  assert.deepEqual(done, ['one', 'other', 'one again'])
})

test('a stream beyond its rate is read no faster than the rate, and its peer has to wait', async (context) => {
  const { peer, stream, lookedAtMs } = await newPair(context, { isOverRate: true })
  readInto(stream, [])
  peer.send(flood(3 * MESSAGES_PER_TURN))
  await until(() => lookedAtMs.length === 3 * MESSAGES_PER_TURN)
  const tookMs = (lookedAtMs.at(-1) ?? 0) - (lookedAtMs[0] ?? 0)
  assert.ok(tookMs >= 2 * OVER_RATE_PAUSE_MS - 10, `${tookMs} ms`)
})

test('what waits for its turn is on the account of the peer, and off it when the stream ends', async (context) => {
  const { peer, stream, ledger, lookedAtMs } = await newPair(context, { isOverRate: true })
  readInto(stream, [])
  peer.send(Buffer.concat(Array.from({ length: ONE_FLOOD }, () => frame(new Uint8Array(100)))))
  await until(() => lookedAtMs.length === MESSAGES_PER_TURN)
  assert.ok(ledger.heldBytes > 100 * (ONE_FLOOD - 2 * MESSAGES_PER_TURN), String(ledger.heldBytes))
  stream.abort(new Error('Enough'))
  assert.equal(ledger.heldBytes, 0)
})

test('a stream that was refused lets go of everything, even where somebody holds it', async (context) => {
  setFlagsFromString('--expose-gc')
  const collectGarbage: () => void = runInNewContext('gc')
  const errors: unknown[] = []
  const streams: Stream[] = []
  const bytesOf = (): number => {
    collectGarbage()
    return process.memoryUsage().arrayBuffers
  }
  const before = bytesOf()
  for (let index = 0; index < 20; index++) {
    const inner = new Inner()
    const { stream } = newFiltered(context, inner, { maxReceivedBytes: 100, received: () => { throw new HoldfastError('LIMIT', 'Too much') } })
    stream.addEventListener('close', ({ error }) => { errors.push(error) })
    streams.push(stream)
    inner.onData(Buffer.concat([index % 2 === 0 ? frame(new Uint8Array(100)) : new Uint8Array(), Uint8Array.of(0xff, 0x7f), new Uint8Array(1 << 20)]))
    assert.equal(stream.status, 'aborted')
  }
  assert.equal(errors.length, streams.length)
  await until(() => bytesOf() - before < 2 << 20)
  assert.equal(streams.length, 20)
})
