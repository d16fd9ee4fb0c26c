import type { AbortOptions } from '@holdfast/core'
import { HoldfastError } from '@holdfast/core/errors'
import { type ClientRequest, type IncomingMessage, request } from 'node:http'
import { drained } from '../drained.ts'
import { decodeFrames, type Frame } from '../frames.ts'
import type { ArgsOf, EventOf, OperationName } from '../operations.ts'
import { DURABILITY_HEADER } from '../storage-engine.ts'

/** What an operation answers with, as it comes. */
export type Answer<Name extends OperationName> =
  | { readonly type: 'event', readonly event: EventOf<Name> }
  | { readonly type: 'bytes', readonly bytes: Uint8Array }

export interface CallOptions extends AbortOptions {
  /** Content that follows the arguments; read only as fast as the daemon takes it. */
  body?: AsyncIterable<Uint8Array> | undefined
}

/** A door to a running daemon. Every call is a connection of its own; nothing is held between calls. */
export interface ApiClient {
  /**
   * Asks for an operation and yields what it answers. Ending the iteration early, or aborting, ends the
   * operation in the daemon too.
   *
   * @throws what the operation failed with; `UNAVAILABLE` when no daemon answers at this door.
   */
  call<Name extends OperationName>(name: Name, args: ArgsOf<Name>, options?: CallOptions): AsyncIterable<Answer<Name>>
}

export interface ApiClientOptions {
  /** Called before the first answer of an operation whose blocks are acknowledged, but would not survive a crash of the machine. */
  onWeaklyStoring?(): void
  /** Called when such an operation went well. */
  onWeaklyStored?(): void
}

/** Returns a client of the daemon that listens at `socketPath`; nothing is opened before the first call. */
export function createApiClient (socketPath: string, options: ApiClientOptions = {}): ApiClient {
  return {
    async * call (name, args, callOptions) {
      const isWeaklyStored = yield * callOperation(socketPath, name, args, { ...callOptions, onWeaklyStoring: options.onWeaklyStoring })
      if (isWeaklyStored) options.onWeaklyStored?.()
    }
  }
}

async function * callOperation<Name extends OperationName> (socketPath: string, name: Name, args: ArgsOf<Name>, { body, signal, onWeaklyStoring }: CallOptions & Pick<ApiClientOptions, 'onWeaklyStoring'>): AsyncGenerator<Answer<Name>, boolean> {
  signal?.throwIfAborted()
  const sent = request({ socketPath, method: 'POST', path: `/v1/${name}`, headers: { 'content-type': 'application/x-holdfast-request' }, signal })
  const sending = send(sent, args, body)
  // A failure of the source ends the call; the daemon's own answer is better news when there is one.
  let sendFailure: unknown
  sending.catch((err: unknown) => {
    sendFailure = err
    sent.destroy()
  })
  try {
    const response = await responseOf(sent, socketPath)
    const isWeak = response.headers[DURABILITY_HEADER] === 'os'
    if (isWeak) onWeaklyStoring?.()
    for await (const frame of decodeFrames(response)) yield asAnswer<Name>(frame)
    return isWeak
  } catch (err) {
    signal?.throwIfAborted()
    throw sendFailure !== undefined && !isBrokenPipe(sendFailure) ? sendFailure : err
  } finally {
    sent.destroy()
  }
}

/** The daemon is this program's other half: its events have the shapes that `Operations` states. */
function asAnswer<Name extends OperationName> (frame: Frame): Answer<Name> {
  return frame as Answer<Name>
}

async function responseOf (sent: ClientRequest, socketPath: string): Promise<IncomingMessage> {
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>()
  sent.once('response', resolve)
  sent.on('error', (cause) => {
    const errno = 'code' in cause ? cause.code : undefined
    const absent = errno === 'ENOENT' || errno === 'ECONNREFUSED'
    reject(absent
      ? new HoldfastError('UNAVAILABLE', `No daemon is running at ${socketPath}. Start one with: holdfast start`, { cause, reason: 'no-daemon' })
      : new HoldfastError('UNAVAILABLE', `The daemon at ${socketPath} does not answer: ${cause.message}`, { cause }))
  })
  const response = await promise
  if (response.statusCode !== 200) throw new HoldfastError('INVALID', `The daemon refused the request with status ${response.statusCode}; is it of another version?`)
  return response
}

async function send (sent: ClientRequest, args: unknown, body: AsyncIterable<Uint8Array> | undefined): Promise<void> {
  // The door answers while it still reads, so headers go out at once.
  await write(sent, Buffer.from(`${JSON.stringify(args)}\n`))
  if (body !== undefined) for await (const piece of body) await write(sent, piece)
  sent.end()
}

async function write (sent: ClientRequest, bytes: Uint8Array): Promise<void> {
  if (sent.destroyed) return
  if (sent.write(bytes)) return
  await drained(sent)
}

function isBrokenPipe (err: unknown): boolean {
  return err instanceof Error && 'code' in err && (err.code === 'EPIPE' || err.code === 'ECONNRESET')
}
