/** Attacks with messages of the DHT. */
import { multiaddr } from '@multiformats/multiaddr'
import { CID } from 'multiformats/cid'
import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Attack, numberOf, textOf, untilOver } from '../attack.ts'
import { isEnded, onBytes, openLiar, openStream, send, steadyConnection } from '../liar.ts'
import { ADD_PROVIDER, dhtPeer, dhtRequest, emptyEntries, field, FIND_NODE, frame, Frames, FULL_MESSAGE_BYTES, GET_PROVIDERS, LAN_KAD, MIB, numberField, randomCid, randomPeer, varint } from '../wire.ts'

/** Sends requests that cannot be. `kind`: which. */
export async function badDhtMessages (attack: Attack): Promise<void> {
  const bytes = BAD_REQUESTS[textOf(attack, 'kind')]?.()
  if (bytes === undefined) throw new Error('No such request')
  const liar = await openLiar()
  const connection = steadyConnection(liar, attack)
  await connection()
  attack.inPosition()
  await untilOver(attack, async () => {
    const stream = await openStream(await connection(), LAN_KAD, attack.signal)
    await send(stream, bytes)
    attack.count('sent')
    if (await isEnded(stream, REFUSAL_MS)) attack.count('refused')
    stream.abort(new Error('Done'))
  })
}

/** Asks for the neighbours of random keys as fast as it goes, on `streams` streams. */
export async function findNodeFlood (attack: Attack): Promise<void> {
  const liar = await openLiar()
  const connection = steadyConnection(liar, attack)
  await connection()
  attack.inPosition()
  await Promise.all(Array.from({ length: numberOf(attack, 'streams') }, async () => {
    await untilOver(attack, async () => {
      const stream = await openStream(await connection(), LAN_KAD, attack.signal)
      onBytes(stream, (bytes) => { attack.count('answeredBytes', bytes.byteLength) })
      while (!attack.signal.aborted && await send(stream, Buffer.concat(Array.from({ length: 16 }, () => dhtRequest(FIND_NODE, randomBytes(34)))))) attack.count('questions', 16)
    })
  }))
}

/** Leaves provider records for random keys, `records` in all. */
export async function addProviderFlood (attack: Attack): Promise<void> {
  const liar = await openLiar()
  const own = field(9, dhtPeer(liar.peerId.toMultihash().bytes, [multiaddr('/ip4/127.0.0.1/tcp/1').bytes]))
  const most = numberOf(attack, 'records')
  const connection = steadyConnection(liar, attack)
  await connection()
  attack.inPosition()
  let sentCount = 0
  await untilOver(attack, async () => {
    const stream = await openStream(await connection(), LAN_KAD, attack.signal)
    for (; sentCount < most && !attack.signal.aborted; sentCount += RECORDS_PER_WRITE) {
      const records = Array.from({ length: RECORDS_PER_WRITE }, () => dhtRequest(ADD_PROVIDER, randomCid().subarray(2), own))
      if (!await send(stream, Buffer.concat(records))) return
      attack.count('records', RECORDS_PER_WRITE)
    }
    await sleep(100)
  })
}

/**
 * Leaves false provider records of the file with both daemons: in the name of somebody else, with and without the victim's
 * own address, and under the attacker's id the addresses of the victim and of the honest daemon.
 */
export async function forgedProviders (attack: Attack): Promise<void> {
  const liar = await openLiar()
  const key = CID.parse(attack.cid).multihash.bytes
  const self = liar.peerId.toMultihash().bytes
  const bare = (address: string): Uint8Array => multiaddr(address).decapsulate('/p2p').bytes
  const forged = [
    dhtPeer(randomPeer(), [bare(attack.victim)]),
    dhtPeer(randomPeer(), [multiaddr('/ip4/127.0.0.1/tcp/1').bytes]),
    dhtPeer(self, [bare(attack.victim), bare(attack.honest)])
  ]
  const connections = [attack.victim, attack.honest].map((victim) => steadyConnection(liar, { victim, signal: attack.signal }))
  let isFirst = true
  await untilOver(attack, async () => {
    for (const connection of connections) {
      const stream = await openStream(await connection(), LAN_KAD, attack.signal)
      for (const provider of forged) await send(stream, dhtRequest(ADD_PROVIDER, key, field(9, provider)))
      attack.count('records', forged.length)
      await stream.close({ signal: attack.signal })
    }
    if (isFirst) attack.inPosition()
    isFirst = false
    await sleep(200)
  })
}

/** Is a server of the DHT whose answers are full of peers that do not exist. */
export async function junkReplies (attack: Attack): Promise<void> {
  const liar = await openLiar()
  const junk = frame(numberField(1, GET_PROVIDERS), ...Array.from({ length: JUNK_PEERS }, (_, index) => field(index % 2 === 0 ? 8 : 9, junkPeer(index))))
  await liar.handle(LAN_KAD, (stream) => {
    const frames = new Frames()
    onBytes(stream, (bytes) => {
      for (const _ of frames.push(bytes)) {
        attack.count('answers')
        void send(stream, junk)
      }
    })
  })
  const connection = steadyConnection(liar, attack)
  await connection()
  attack.inPosition()
  await untilOver(attack, async () => {
    await connection()
    await sleep(100)
  })
}

/** How long a bad request may go unanswered before it counts as taken, in milliseconds. */
const REFUSAL_MS = 5000

const RECORDS_PER_WRITE = 100

/** About 2 MiB of an answer. */
const JUNK_PEERS = 1000

const JUNK_ADDRESSES = 100

const BAD_REQUESTS: Readonly<Record<string, () => Uint8Array>> = {
  'longer than any request': () => Buffer.concat([varint(FULL_MESSAGE_BYTES), new Uint8Array(MIB)]),
  'one byte too long': () => Buffer.concat([varint((64 << 10) + 1), new Uint8Array(MIB)]),
  'length without end': () => new Uint8Array(1000).fill(0xff),
  'empty peers': () => frame(emptyEntries(8))
}

/** Addresses lead to ports of this machine where nobody listens, or mean nothing at all. */
function junkPeer (index: number): Uint8Array {
  const addresses = Array.from({ length: JUNK_ADDRESSES }, (_, port) => port % 4 === 0 ? randomBytes(12) : multiaddr(`/ip4/127.0.0.1/tcp/${1 + (index * JUNK_ADDRESSES + port) % 1000}`).bytes)
  return dhtPeer(randomPeer(), addresses)
}
