import type { Connection, Libp2p } from '@libp2p/interface'
import { byteStream } from '@libp2p/utils'
import { randomBytes } from 'node:crypto'
import { deadline } from '../deadline.ts'
import { FIRST_PING_TIMEOUT_MS, MAX_FIRST_PINGS } from './discovery-limits.ts'

/** @see https://github.com/libp2p/specs/blob/master/ping/ping.md */
const PING = '/ipfs/ping/1.0.0'
const PING_BYTES = 32

/**
 * Measures the round trip of each peer once, as soon as it said what it speaks; the connection monitor goes on from there.
 *
 * Nobody waits for it, and a ping that fails means nothing. While `MAX_FIRST_PINGS` wait for an answer, others are left out.
 */
export function pingOnceIdentified (node: Pick<Libp2p, 'addEventListener'>): void {
  let openCount = 0
  node.addEventListener('peer:identify', ({ detail: { connection, protocols } }) => {
    if (openCount >= MAX_FIRST_PINGS || connection.rtt !== undefined || !protocols.includes(PING)) return
    openCount++
    measure(connection).then((rttMs) => { connection.rtt ??= rttMs }).catch(() => {}).finally(() => { openCount-- })
  })
}

async function measure (connection: Connection): Promise<number> {
  using timeout = deadline(FIRST_PING_TIMEOUT_MS)
  const { signal } = timeout
  const stream = await connection.newStream(PING, { signal, runOnLimitedConnection: true })
  try {
    const bytes = byteStream(stream)
    const startMs = performance.now()
    await Promise.all([bytes.write(randomBytes(PING_BYTES), { signal }), bytes.read({ bytes: PING_BYTES, signal })])
    const rttMs = performance.now() - startMs
    await stream.close({ signal })
    return rttMs
  } catch (err) {
    stream.abort(err instanceof Error ? err : new Error(String(err)))
    throw err
  }
}
