/** Attacks with streams of a connection. */
import type { Connection, Stream, StreamMuxer } from '@libp2p/interface'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Attack, textOf, untilOver } from '../attack.ts'
import { openLiar, openStream, send, steadyConnection } from '../liar.ts'

/** More than any peer may open. */
const MOST_STREAMS = 1000

/** Opens far too many streams on one connection and keeps them. `protocol`: of what, or `none` for streams that never say. */
export async function openStreams (attack: Attack): Promise<void> {
  const protocol = textOf(attack, 'protocol')
  const liar = await openLiar()
  const connection = steadyConnection(liar, attack)
  await connection()
  attack.inPosition()
  const streams: Stream[] = []
  await untilOver(attack, async () => {
    if (streams.length === MOST_STREAMS) return await sleep(100)
    streams.push(protocol === 'none' ? await openSilentStream(await connection()) : await openStream(await connection(), protocol, attack.signal))
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
