import type { Writable } from 'node:stream'

/** Resolves when the stream has room again or is closed; leaves no listener behind. */
export async function drained (stream: Writable): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  stream.once('drain', resolve)
  stream.once('close', resolve)
  // A stream that was destroyed before we listened says nothing any more.
  if (stream.destroyed) resolve()
  await promise
  stream.off('drain', resolve)
  stream.off('close', resolve)
}
