import type { MessageStream, Stream, StreamCloseEvent } from '@libp2p/interface'
import { HoldfastError } from '@holdfast/core'

/**
 * Resolves when at most `byteLength` bytes wait in the stream's write buffer.
 *
 * Not the library's `onDrain()`, whose promise is made once per stream: from the second time on it resolves at once.
 *
 * @throws `UNAVAILABLE` when the stream closes first.
 */
export async function waitUntilWritten (stream: Stream, byteLength: number, signal?: AbortSignal): Promise<void> {
  while (stream.writeBufferLength > byteLength) {
    await nextDrain(stream, signal)
  }
}

/**
 * Resolves when the stream, or the connection under it, has taken on more.
 *
 * @throws `UNAVAILABLE` when the stream closes first.
 */
export async function nextDrain (stream: MessageStream, signal?: AbortSignal): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const onDrain = (): void => { resolve() }
  const onClose = ({ error }: StreamCloseEvent): void => { reject(new HoldfastError('UNAVAILABLE', 'The stream closed before all was written', { cause: error })) }
  const onAbort = (): void => { reject(signal?.reason) }
  stream.addEventListener('drain', onDrain)
  stream.addEventListener('close', onClose)
  signal?.addEventListener('abort', onAbort)
  try {
    await promise
    // The library empties its buffer in a microtask that was queued before this one.
    await Promise.resolve()
  } finally {
    stream.removeEventListener('drain', onDrain)
    stream.removeEventListener('close', onClose)
    signal?.removeEventListener('abort', onAbort)
  }
}
