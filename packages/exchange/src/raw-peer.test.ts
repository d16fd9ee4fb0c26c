/** A peer that says whatever a test wants, byte by byte: the honest half of Bitswap is left to the test. */
import type { Block } from '@holdfast/core'
import type { PeerStream } from '@holdfast/network'
import type { CID } from 'multiformats/cid'
import { setTimeout as delay } from 'node:timers/promises'
import { cidPrefixOf } from './bitswap/cid-prefix.ts'
import { readFrames } from './bitswap/frames.ts'
import { encodeMessage, type OutgoingMessage } from './bitswap/message-writer.ts'
import { type BitswapMessage, type BlockPayload, decodeMessage, type WantEntry } from './bitswap/message.ts'
import { BITSWAP_PROTOCOLS, bitswapProtocol } from './bitswap/protocols.ts'
import type { TestNode } from './nodes.test.ts'
import { openTcpHost, type TcpHost } from './tcp-host.test.ts'

export interface RawPeerOptions {
  /** What it speaks. */
  protocols?: readonly string[]
  /** Answers each message that comes. */
  onMessage?: (message: BitswapMessage, peer: RawPeer) => Promise<void>
  /** Accepts streams and never reads them. @default false */
  deaf?: boolean
  /** Closes its own side of a stream before it reads, as Helia does. @default false */
  halfCloses?: boolean
}

let rawCount = 0

/** Opens a raw peer and connects it to `node`. */
export async function openRawPeer (node: TestNode, options: RawPeerOptions = {}): Promise<RawPeer> {
  const host = await openTcpHost(`raw-${++rawCount}`)
  const peer = new RawPeer(host, node)
  await host.handle(options.protocols ?? BITSWAP_PROTOCOLS, async (stream) => {
    if (options.halfCloses === true) await stream.closeWrite()
    if (options.deaf === true) await new Promise(() => {})
    await peer.receive(stream, options)
  })
  await host.connect(node.host.address)
  return peer
}

export class RawPeer implements AsyncDisposable {
  readonly host: TcpHost
  /** What came, in order. */
  readonly messages: BitswapMessage[] = []
  /** Protocols of the streams on which it came. */
  readonly protocols: string[] = []
  readonly #node: TestNode
  #stream: PeerStream | undefined

  constructor (host: TcpHost, node: TestNode) {
    this.host = host
    this.#node = node
  }

  async send (message: OutgoingMessage): Promise<void> {
    const stream = await this.stream()
    await stream.write(encodeMessage(message, bitswapProtocol(stream.protocol)))
  }

  async sendBytes (...parts: Uint8Array[]): Promise<void> {
    await (await this.stream()).write(parts)
  }

  /** The stream to the node, opened when first asked for. */
  async stream (protocols: readonly string[] = BITSWAP_PROTOCOLS): Promise<PeerStream> {
    this.#stream ??= await this.host.openStream(this.#node.host.peer, protocols)
    return this.#stream
  }

  async receive (stream: PeerStream, { onMessage }: RawPeerOptions): Promise<void> {
    this.protocols.push(stream.protocol)
    for await (const bytes of readFrames(stream.read(), { held: this.host.holdBytes(stream.peer) })) {
      const message = decodeMessage(bytes)
      this.messages.push(message)
      await onMessage?.(message, this)
    }
  }

  get blocks (): BlockPayload[] {
    return this.messages.flatMap(({ blocks }) => blocks)
  }

  get presences (): string[] {
    return this.messages.flatMap(({ presences }) => presences.map(({ cid, type }) => `${type} ${cid}`))
  }

  get wants (): WantEntry[] {
    return this.messages.flatMap(({ wants }) => wants)
  }

  async [Symbol.asyncDispose] (): Promise<void> {
    await this.host[Symbol.asyncDispose]()
  }
}

export function wantOf (cid: CID, more: Partial<WantEntry> = {}): WantEntry {
  return { cid, priority: 1, isCancel: false, type: 'block', sendDontHave: false, ...more }
}

export function payloadOf ({ cid, bytes }: Block): BlockPayload {
  return { prefix: cidPrefixOf(cid), data: bytes }
}

/** Waits until something is so; the test's own timeout ends the wait. */
export async function until (isDone: () => boolean): Promise<void> {
  while (!isDone()) await delay(5)
}
