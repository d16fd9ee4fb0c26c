/** Takes the bytes of a socket away from a link of the library, for somebody who moves them at less cost. */
import type { MessageStream, StreamMessageEvent } from '@libp2p/interface'
import { AbstractMultiaddrConnection } from '@libp2p/utils'
import type { Socket } from 'node:net'
import { socketOf } from '../traffic.ts'

/** A link of the library's TCP transport, and its socket. */
export interface SocketLink {
  readonly link: AbstractMultiaddrConnection
  readonly socket: Socket
}

/** The socket of a stream that is nothing but one: none through a relay, nor under the key of a private network. */
export function socketLinkOf (stream: MessageStream): SocketLink | undefined {
  if (!(stream instanceof AbstractMultiaddrConnection)) return undefined
  const socket = socketOf(stream)
  return socket === undefined ? undefined : { link: stream, socket }
}

/**
 * Makes a link let go of what its socket reads, and puts back what it has read and nobody took: the start of what follows the
 * negotiation. The link still learns how its socket ends, and when it was idle for too long.
 *
 * @throws when the link has ended.
 */
export async function takeSocket ({ link, socket }: SocketLink): Promise<void> {
  const early: Uint8Array[] = []
  const onMessage = ({ data }: StreamMessageEvent): void => { early.push(data.subarray()) }
  // The library hands over what waits in a microtask, which is queued before ours goes on.
  link.addEventListener('message', onMessage)
  await Promise.resolve()
  link.removeEventListener('message', onMessage)
  if (link.status !== 'open' || socket.destroyed || socket.readableEnded) throw new Error('The connection ended before its handshake')
  socket.removeAllListeners('data')
  socket.pause()
  for (const bytes of early.reverse()) socket.unshift(bytes)
}
