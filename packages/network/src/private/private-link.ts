/**
 * Links of a private network. Each side sends 24 random bytes, and from then on everything is XSalsa20 under the swarm key.
 *
 * Not `@libp2p/pnet`: its cipher (`xsalsa20` 1.2.0) keeps one WebAssembly memory for the process, never gives back the place of a
 * link that was closed, and when the memory has to grow all links fail until it has grown past its end: after some 4,700
 * connections, also of strangers, or one piece of more than half a MiB.
 *
 * @see https://github.com/libp2p/specs/blob/master/pnet/Private-Networks-PSK-V1.md
 */
import { type AbortOptions, HoldfastError } from '@holdfast/core'
import type { ConnectionProtector, MessageStream, MultiaddrConnection } from '@libp2p/interface'
import { AbstractMultiaddrConnection, byteStream, type SendResult } from '@libp2p/utils'
import { randomBytes } from 'node:crypto'
import type { Uint8ArrayList } from 'uint8arraylist'
import { deadline } from '../deadline.ts'
import { KeyStream } from './key-stream.ts'

const NONCE_BYTES = 24

/** How long the first bytes of the other side may take, in ms: less than the 6 s that libp2p gives an address, so that the reason is told. */
const GREETING_TIMEOUT_MS = 5_000

/** What a dial says when the first bytes of a private network do not come. */
const UNANSWERED = 'the greeting of a private network was not answered'

/** Lets libp2p connect only to who has the same key, of 32 bytes. */
export function swarmKeyProtector (key: Uint8Array): () => ConnectionProtector {
  return () => ({ protect: async (link, options) => await protect(link, key, options) })
}

async function protect (link: MessageStream, key: Uint8Array, options: AbortOptions = {}): Promise<MultiaddrConnection> {
  if (!isLink(link)) throw new Error('Only a link to an address can be protected')
  const ours = randomBytes(NONCE_BYTES)
  try {
    const theirs = await exchange(link, ours, options)
    return new PrivateLink(link, new KeyStream(key, ours), new KeyStream(key, theirs))
  } catch (cause) {
    options.signal?.throwIfAborted()
    throw new HoldfastError('UNAVAILABLE', UNANSWERED, { cause })
  }
}

async function exchange (link: MessageStream, ours: Uint8Array, { signal: outer }: AbortOptions): Promise<Uint8Array> {
  using timeout = deadline(GREETING_TIMEOUT_MS, outer)
  const { signal } = timeout
  const bytes = byteStream(link)
  const [theirs] = await Promise.all([bytes.read({ bytes: NONCE_BYTES, signal }), bytes.write(ours, { signal })])
  bytes.unwrap()
  return theirs.subarray()
}

function isLink (stream: MessageStream): stream is MultiaddrConnection {
  return 'remoteAddr' in stream
}

/** A link whose bytes go through a key stream each way. The library demands a subclass: streams find out what happens by its events. */
class PrivateLink extends AbstractMultiaddrConnection {
  readonly #link: MultiaddrConnection
  readonly #outbound: KeyStream

  constructor (link: MultiaddrConnection, outbound: KeyStream, inbound: KeyStream) {
    const { remoteAddr, direction } = link
    super({ remoteAddr, direction, log: link.log.newScope('private') })
    this.#link = link
    this.#outbound = outbound
    link.addEventListener('message', ({ data }) => {
      for (const bytes of data instanceof Uint8Array ? [data] : data) this.onData(inbound.xor(bytes))
    })
    link.addEventListener('drain', () => { this.onMuxerDrain() })
    link.addEventListener('close', ({ error, local }) => {
      if (error === undefined) this.onTransportClosed()
      else if (local === true) this.abort(error)
      else this.onRemoteReset()
    })
  }

  sendData (data: Uint8ArrayList): SendResult {
    return { sentBytes: data.byteLength, canSendMore: this.#link.send(this.#outbound.xor(data.subarray())) }
  }

  async sendClose (options?: AbortOptions): Promise<void> {
    await this.#link.close(options)
  }

  sendReset (err: Error): void {
    this.#link.abort(err)
  }

  sendPause (): void {
    this.#link.pause()
  }

  sendResume (): void {
    this.#link.resume()
  }
}
