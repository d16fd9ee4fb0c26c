import { MAX_PEER_BYTES, type PeerId } from '@holdfast/network'

/** Bytes that are asked of a peer at once from which it is allowed more: half of an ordinary window, so none is used up before a wider one is granted. */
export const WIDE_FROM_BYTES: number = 2 * 1024 * 1024

/** What a peer may make this node hold while so much is asked of it: beside what any peer may, a window of 16 MiB (320 MiB/s at 50 ms). */
export const FETCH_BYTES: number = MAX_PEER_BYTES + 16 * 1024 * 1024

/** Peers that are allowed more at once: 384 MiB of the 512 MiB that all peers may make this node hold. */
export const MAX_WIDE_PEERS = 16

/** How long an allowance outlives the last ask, in milliseconds: what is taken back may be on its way. */
const LINGER_MS = 10_000

/** Lets the peers that much is fetched from make this node hold more than others, a bounded number of them. */
export class FetchAllowances {
  readonly #allow: (peer: PeerId, maxBytes: number) => Disposable
  #count = 0

  constructor (allow: (peer: PeerId, maxBytes: number) => Disposable) {
    this.#allow = allow
  }

  /** What is allowed to one peer; it begins with what anybody may. */
  open (peer: PeerId): FetchAllowance {
    return new FetchAllowance(() => this.#take(peer))
  }

  #take (peer: PeerId): Disposable | undefined {
    if (this.#count >= MAX_WIDE_PEERS) return undefined
    const allowance = this.#allow(peer, FETCH_BYTES)
    this.#count++
    return {
      [Symbol.dispose]: () => {
        this.#count--
        allowance[Symbol.dispose]()
      }
    }
  }
}

/** Follows what one peer owes. */
export class FetchAllowance implements Disposable {
  readonly #take: () => Disposable | undefined
  #taken: Disposable | undefined
  #lingerTimer: NodeJS.Timeout | undefined

  constructor (take: () => Disposable | undefined) {
    this.#take = take
  }

  /** So many bytes are asked of the peer now. */
  owes (byteLength: number): void {
    if (byteLength >= WIDE_FROM_BYTES) this.#taken ??= this.#take()
    if (this.#taken === undefined) return
    if (byteLength === 0) this.#lingerTimer ??= setTimeout(() => { this[Symbol.dispose]() }, LINGER_MS).unref()
    else this.#stay()
  }

  [Symbol.dispose] (): void {
    this.#stay()
    this.#taken?.[Symbol.dispose]()
    this.#taken = undefined
  }

  #stay (): void {
    clearTimeout(this.#lingerTimer)
    this.#lingerTimer = undefined
  }
}
