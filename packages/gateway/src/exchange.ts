/**
 * What goes in and out of the gateway, free of any transport: `node:http` today, libp2p streams as well.
 */

/** One header as it goes on the wire. */
export type Header = readonly [name: string, value: string]

export interface GatewayRequest {
  readonly method: string
  /** The request target exactly as received: `req.url` of node:http. Never passed through `URL`. */
  readonly target: string
  /** Names in lower case; a repeated header joined with commas or as an array. */
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>
  /** Ends all work for this request; rejections are `signal.reason`. */
  readonly signal: AbortSignal
}

/** Bytes of a response, pulled by whoever writes them. */
export interface Body {
  /** Known length, the value of `Content-Length`. */
  readonly byteLength?: number | undefined
  /** The whole body when it is in memory already, so that a writer can send it in one piece. */
  readonly bytes?: Uint8Array | undefined
  /** Whether a piece is valid only until the next is asked for, because its memory is used again. @default false */
  readonly isBorrowed?: boolean | undefined
  /**
   * Yields the bytes in order, once. Nothing is read ahead of the consumer beyond one window.
   *
   * A failure must reach the client as a broken connection: bytes may have been sent already.
   */
  read(): AsyncIterable<Uint8Array>
}

export interface GatewayResponse {
  readonly status: number
  readonly headers: readonly Header[]
  /** `undefined` for HEAD, 304 and the like. */
  readonly body: Body | undefined
  /** The form that was asked for, for whoever counts: `default` when none was; absent when it was not looked at. */
  readonly format?: string | undefined
}

/** Returns one header of a request as a single string, or `undefined`. */
export function headerOf ({ headers }: GatewayRequest, name: string): string | undefined {
  const value = headers[name]
  return value === undefined || typeof value === 'string' ? value : value.join(', ')
}

/** A body that is in memory. */
export function bytesBody (bytes: Uint8Array): Body {
  return {
    byteLength: bytes.byteLength,
    bytes,
    async * read () { yield bytes }
  }
}
