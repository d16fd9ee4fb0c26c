/**
 * A host for tests that seems far away: what its peers send arrives later, and no faster than a line allows.
 *
 * Delay and rate are added where bytes are read, so what is written goes out at once, as on a long line.
 */
import type { PeerId, PeerStream } from '@holdfast/network'
import { setTimeout as delay } from 'node:timers/promises'
import type { ExchangeHost } from './exchange-host.ts'

export interface Line {
  /** One way, in milliseconds. */
  readonly delayMs: number
  /** @default unlimited */
  readonly bytesPerSecond?: number
}

/** Bytes on a line at once: above it the sender is slowed down. */
const MAX_BYTES_ON_LINE = 64 * 1024 * 1024

/** Wraps `host`: each stream reads over a line of its own, as long as the line to that peer. */
export function farHost (host: ExchangeHost, lineTo: (peer: PeerId) => Line): ExchangeHost {
  return {
    peer: host.peer,
    peers: () => host.peers(),
    isConnected: (peer) => host.isConnected(peer),
    connect: async (address, options) => await host.connect(address, options),
    openStream: async (peer: PeerId, protocols, options) => {
      const line = lineTo(peer)
      await delay(2 * line.delayMs) // The protocol is negotiated.
      return farStream(await host.openStream(peer, protocols, options), line)
    },
    handle: async (protocols, handler, options) => await host.handle(protocols, async (stream) => { await handler(farStream(stream, lineTo(stream.peer))) }, options),
    watchPeers: (watcher) => host.watchPeers(watcher),
    addKnownAddresses: async (peer, addresses) => { await host.addKnownAddresses(peer, addresses) },
    holdBytes: (peer) => host.holdBytes(peer),
    allowBytes: (peer, maxBytes) => host.allowBytes(peer, maxBytes)
  }
}

function farStream (stream: PeerStream, line: Line): PeerStream {
  return {
    peer: stream.peer,
    protocol: stream.protocol,
    connectionId: stream.connectionId,
    read: () => overLine(stream.read(), line),
    write: async (parts, options) => { await stream.write(parts, options) },
    closeWrite: async () => { await stream.closeWrite() },
    abort: (reason) => { stream.abort(reason) },
    [Symbol.asyncDispose]: async () => { await stream[Symbol.asyncDispose]() }
  }
}

interface Arrival {
  readonly chunk: Uint8Array
  readonly dueMs: number
}

/** Yields what `chunks` yields, each chunk when it has come over the line. */
async function * overLine (chunks: AsyncIterable<Uint8Array>, { delayMs, bytesPerSecond = Infinity }: Line): AsyncIterable<Uint8Array> {
  const arrivals: Arrival[] = []
  let bytesOnLine = 0
  let isOver = false
  let change = Promise.withResolvers<void>()
  const changed = (): void => {
    change.resolve()
    change = Promise.withResolvers()
  }

  const pump = async (): Promise<void> => {
    let freeMs = 0
    for await (const chunk of chunks) {
      freeMs = Math.max(freeMs, performance.now()) + chunk.byteLength / bytesPerSecond * 1000
      arrivals.push({ chunk, dueMs: freeMs + delayMs })
      bytesOnLine += chunk.byteLength
      changed()
      while (bytesOnLine > MAX_BYTES_ON_LINE && !isOver) await change.promise
      if (isOver) return
    }
  }
  const pumped = pump().finally(() => {
    isOver = true
    changed()
  })
  pumped.catch(() => {}) // Awaited below, once everything that came before has been read.

  try {
    for (;;) {
      const next = arrivals.shift()
      if (next === undefined) {
        if (isOver) return await pumped
        await change.promise
        continue
      }
      const waitMs = next.dueMs - performance.now()
      if (waitMs > 0) await delay(waitMs)
      bytesOnLine -= next.chunk.byteLength
      changed()
      yield next.chunk
    }
  } finally {
    isOver = true
    changed()
  }
}
