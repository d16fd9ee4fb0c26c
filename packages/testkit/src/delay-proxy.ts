/**
 * A line with a long way: a TCP relay in user space that hands every byte on a fixed time after it came.
 *
 * ```
 *  client ──socket──▶ [ chunk, due ] [ chunk, due ] [ end ] ──socket──▶ target
 *         ◀─socket──  [ chunk, due ] …                      ◀─socket──
 * ```
 *
 * For machines whose kernel has no netem. It shows what a protocol does with round trips; both sockets stay on loopback, so
 * the windows and the congestion control of TCP are not part of it, and neither is the handshake of TCP, which the kernel
 * answers before the proxy hears of it. There is no loss and no limit of rate other than the buffer: `bufferBytes` per delay.
 */
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import { DelayLine } from './delay-line.ts'

/**
 * Bytes that one direction of one connection holds at most, on their way: 32 MiB, which lets 1.28 GiB/s through at a delay of
 * 25 ms (50 ms of round trip) and 320 MiB/s at 100 ms, more than a pair of processes on loopback moves.
 */
export const DEFAULT_DELAY_BUFFER_BYTES: number = 32 << 20

export interface DelayProxyOptions {
  /** Where connections are handed on to. */
  readonly target: { readonly host?: string, readonly port: number }
  /** How long each byte is on its way, in ms, each way: half of the round trip. */
  readonly delayMs: number
  /** When so many bytes of a direction are on their way, the sender has to wait. @default DEFAULT_DELAY_BUFFER_BYTES */
  readonly bufferBytes?: number
}

/** A running proxy. Disposing it closes its port and resets what is open. */
export interface DelayProxy extends AsyncDisposable {
  /** Where it listens, on 127.0.0.1. */
  readonly port: number
  /** Bytes that were handed on so far, in both directions and all connections: shows that nobody went around the proxy. */
  forwardedBytes(): number
}

/**
 * Opens a proxy on a free port of loopback.
 *
 * Order is kept. The end of one direction leaves the other open, and a reset, or a target that refuses, resets the other side,
 * each after the delay and behind the bytes that came before it.
 */
export async function openDelayProxy ({ target: { host = '127.0.0.1', port }, delayMs, bufferBytes = DEFAULT_DELAY_BUFFER_BYTES }: DelayProxyOptions): Promise<DelayProxy> {
  const sockets = new Set<Socket>()
  let forwarded = 0
  const join = (from: Socket, to: Socket): DelayLine => new DelayLine(from, to, { delayMs, bufferBytes, onForward: (byteLength) => { forwarded += byteLength } })

  const server = createServer({ allowHalfOpen: true, noDelay: true }, (client) => {
    const onward = connect({ host, port, allowHalfOpen: true, noDelay: true })
    for (const socket of [client, onward]) {
      sockets.add(socket)
      socket.once('close', () => { sockets.delete(socket) })
    }
    join(client, onward)
    join(onward, client)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return { port: portOf(server), forwardedBytes: () => forwarded, [Symbol.asyncDispose]: async () => { await close(server, sockets) } }
}

function portOf (server: Server): number {
  return (server.address() as AddressInfo).port
}

async function close (server: Server, sockets: ReadonlySet<Socket>): Promise<void> {
  const closed = once(server, 'close')
  server.close()
  for (const socket of sockets) socket.resetAndDestroy()
  await closed
}
