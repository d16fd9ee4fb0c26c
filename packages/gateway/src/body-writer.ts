import type { ServerResponse } from 'node:http'

/** Bytes of a body that may wait in the response and its socket. */
export const BODY_WATERMARK_BYTES: number = 256 * 1024

/**
 * Bytes that are handed over in one write. A client makes progress when it has taken one of them, so this over the
 * stall timeout is the least speed: 64 KiB in 30 s.
 */
export const WRITE_SLICE_BYTES: number = 64 * 1024

/**
 * Writes a body to a response, never holding more than `BODY_WATERMARK_BYTES` of it.
 *
 * It counts what was taken by the callbacks of the writes: the `drain` event comes only when everything is gone, which
 * makes a fast client wait.
 */
export class BodyWriter {
  readonly #response: ServerResponse
  readonly #onProgress: () => void
  #waitingBytes = 0
  #room: PromiseWithResolvers<void> | undefined

  constructor (response: ServerResponse, onProgress: () => void) {
    this.#response = response
    this.#onProgress = onProgress
  }

  /** Resolves when the bytes were handed over and there is room for more, or when nobody takes them any longer. */
  async write (bytes: Uint8Array): Promise<void> {
    for (let offset = 0; offset < bytes.byteLength && !this.#response.destroyed; offset += WRITE_SLICE_BYTES) {
      const slice = bytes.byteLength <= WRITE_SLICE_BYTES ? bytes : bytes.subarray(offset, offset + WRITE_SLICE_BYTES)
      this.#waitingBytes += slice.byteLength
      this.#response.write(slice, () => { this.#taken(slice.byteLength) })
      if (this.#waitingBytes >= BODY_WATERMARK_BYTES) {
        this.#room = Promise.withResolvers()
        await this.#room.promise
      }
    }
  }

  /** Resolves when all that was written is taken, so that its memory may be used again, or the response is closed. */
  async settled (): Promise<void> {
    while (this.#waitingBytes > 0 && !this.#response.destroyed) {
      this.#room = Promise.withResolvers()
      await this.#room.promise
    }
  }

  /** Ends a wait for room: the response is closed. */
  release (): void {
    this.#room?.resolve()
  }

  #taken (byteLength: number): void {
    this.#waitingBytes -= byteLength
    this.#onProgress()
    if (this.#waitingBytes < BODY_WATERMARK_BYTES) this.#room?.resolve()
  }
}
