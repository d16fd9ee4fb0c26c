/** The decrypted side of a link. */
import type { AbortOptions } from '@libp2p/interface'
import { AbstractMessageStream, type SendResult } from '@libp2p/utils'
import { once } from 'node:events'
import type { TLSSocket } from 'node:tls'
import type { Uint8ArrayList } from 'uint8arraylist'
import { nextDrain } from '../drain.ts'
import { giveBack } from '../give-back.ts'
import type { SocketLink } from './take-socket.ts'

/**
 * What the muxer reads and writes. It ends with its link and for the same reason. The library demands a subclass: streams find out
 * what happens by its events.
 *
 * A connection is ended by its link, so from here on that ends as TLS does.
 */
export class TlsStream extends AbstractMessageStream {
  readonly #link: SocketLink['link']
  readonly #socket: TLSSocket
  #deliver: ((bytes: Uint8Array) => void) | undefined
  #onRead: (() => void) | undefined

  constructor ({ link, socket: raw }: SocketLink, socket: TLSSocket) {
    const { log, inactivityTimeout, maxReadBufferLength, direction } = link
    super({ log: log.newScope('tls'), inactivityTimeout, maxReadBufferLength, direction })
    this.#link = link
    this.#socket = socket
    socket.on('data', (bytes: Uint8Array) => { this.#read(bytes) })
    socket.on('drain', () => { this.safeDispatchEvent('drain') })
    link.addEventListener('close', ({ error, local }) => {
      if (error === undefined) this.onTransportClosed()
      else if (local === true) this.abort(error)
      else this.onRemoteReset()
    })

    const reset = link.sendReset.bind(link)
    link.sendClose = async (options) => { await this.#end(options) }
    link.sendReset = (err) => {
      // libuv resets nothing that it is about to shut down.
      if (socket.writableEnded) raw.destroy()
      else reset(err)
    }
  }

  /** With what waits in the socket: that, too, is held for the peer. */
  override get writeBufferLength (): number {
    return this.writeBuffer.byteLength + this.#socket.writableLength
  }

  /**
   * Hands what comes to `deliver`, in place of an event, which costs more than a record takes to decrypt.
   *
   * `deliver` must keep nothing of it: the memory is given back at once.
   */
  deliverTo (deliver: (bytes: Uint8Array) => void): void {
    this.#deliver = deliver
  }

  /** Calls `onRead` after each piece that came. */
  watch (onRead: () => void): void {
    this.#onRead = onRead
  }

  #read (bytes: Uint8Array): void {
    if (this.#deliver === undefined || this.readStatus !== 'readable' || this.readBuffer.byteLength > 0) {
      this.onData(bytes)
    } else {
      this.#deliver(bytes)
      giveBack(bytes)
    }
    this.#onRead?.()
  }

  /**
   * Takes more until the socket has enough. The header and the body of a frame go out together: each write of its own costs a record
   * and a call of the kernel.
   */
  sendData (data: Uint8ArrayList): SendResult {
    // The connection is about to close. An error would reset it, and the peer would lose what it has not read yet.
    if (this.#socket.writableEnded) return { sentBytes: data.byteLength, canSendMore: true }
    let sentBytes = 0
    let canSendMore = true
    this.#socket.cork()
    for (const bytes of data) {
      canSendMore = this.#socket.write(bytes)
      sentBytes += bytes.byteLength
      if (!canSendMore) break
    }
    this.#socket.uncork()
    return { sentBytes, canSendMore }
  }

  sendPause (): void {
    this.#socket.pause()
  }

  sendResume (): void {
    this.#socket.resume()
  }

  sendReset (err: Error): void {
    this.#link.abort(err)
  }

  async close (options?: AbortOptions): Promise<void> {
    await this.#link.close(options)
  }

  /** Closes the socket when it has sent everything. */
  async #end ({ signal }: AbortOptions = {}): Promise<void> {
    while (this.writeBuffer.byteLength > 0) await nextDrain(this, signal)
    if (this.#socket.closed) return
    this.#socket.destroySoon()
    await once(this.#socket, 'close', { signal }).catch((err: unknown) => {
      signal?.throwIfAborted()
      throw err
    })
  }
}
