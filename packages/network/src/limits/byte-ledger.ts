import { HoldfastError } from '@holdfast/core'
import type { HeldBytes, PeerId } from '../host.ts'
import { MAX_MEMBER_BYTES, MAX_NETWORK_BYTES, MAX_PEER_BYTES } from '../limits.ts'

export interface LedgerLimits {
  readonly maxPeerBytes: number
  readonly maxBytes: number
}

export interface Overdraft {
  readonly peer: PeerId
  readonly heldBytes: number
  readonly reason: HoldfastError
}

/**
 * How many bytes each peer makes this node hold, over all of its streams and protocols.
 *
 * A peer that goes past its allowance is reported. Where all together are too much, the one that holds most is: not the one that
 * happened to come last. What a reported peer held no longer counts, because its connections end; what comes in afterwards is on a
 * new account.
 */
export class ByteLedger {
  readonly #limits: LedgerLimits
  readonly #onOverdraft: (overdraft: Overdraft) => void
  readonly #accounts = new Map<PeerId, Account>()
  readonly #allowances = new Map<PeerId, Set<{ readonly maxBytes: number }>>()
  #heldBytes = 0

  constructor (onOverdraft: (overdraft: Overdraft) => void, limits: Partial<LedgerLimits> = {}) {
    this.#onOverdraft = onOverdraft
    this.#limits = { maxPeerBytes: MAX_PEER_BYTES, maxBytes: MAX_NETWORK_BYTES, ...limits }
  }

  get heldBytes (): number {
    return this.#heldBytes
  }

  heldBytesOf (peer: PeerId): number {
    return this.#accounts.get(peer)?.heldBytes ?? 0
  }

  /** The most that a peer may hold now. */
  allowanceOf (peer: PeerId): number {
    const raised = this.#allowances.get(peer)?.values().map(({ maxBytes }) => maxBytes) ?? []
    return Math.max(this.#limits.maxPeerBytes, ...raised)
  }

  /** Opens a line on the account of a peer. Disposing it gives back what it still holds. */
  hold (peer: PeerId): HeldBytes {
    const account = this.#accounts.get(peer) ?? { peer, heldBytes: 0, lineCount: 0, isClosed: false }
    this.#accounts.set(peer, account)
    account.lineCount++
    let heldBytes = 0
    let isDisposed = false
    const change = (byteLength: number): void => {
      this.#change(account, byteLength)
      heldBytes += byteLength
    }
    return {
      get heldBytes () { return heldBytes },
      add: (byteLength) => {
        if (isDisposed) throw new Error('Bytes are added to a line that was given back')
        change(byteLength)
      },
      subtract: (byteLength) => { if (!isDisposed) change(-Math.min(byteLength, heldBytes)) },
      [Symbol.dispose]: () => {
        if (isDisposed) return
        isDisposed = true
        this.#change(account, -heldBytes)
        heldBytes = 0
        if (--account.lineCount === 0 && this.#accounts.get(peer) === account) this.#accounts.delete(peer)
      }
    }
  }

  /**
   * Lets a peer hold more than others until it is disposed.
   *
   * @throws `INVALID` above `MAX_MEMBER_BYTES`.
   */
  allow (peer: PeerId, maxBytes: number): Disposable {
    if (!(maxBytes <= MAX_MEMBER_BYTES)) throw new HoldfastError('INVALID', `A peer is allowed ${MAX_MEMBER_BYTES} bytes at most, not ${maxBytes}`, { peer, maxBytes })
    const allowance = { maxBytes }
    const allowances = this.#allowances.get(peer) ?? new Set()
    this.#allowances.set(peer, allowances.add(allowance))
    return {
      [Symbol.dispose]: () => {
        allowances.delete(allowance)
        if (allowances.size === 0 && this.#allowances.get(peer) === allowances) this.#allowances.delete(peer)
      }
    }
  }

  /** @throws `LIMIT` when this peer may not hold so much; nothing is counted then. */
  #change (account: Account, byteLength: number): void {
    if (account.isClosed) {
      if (byteLength > 0) throw new HoldfastError('LIMIT', `The connections of ${account.peer} were ended: it made this node hold too much`, { peer: account.peer })
      return
    }
    const maxBytes = this.allowanceOf(account.peer)
    if (byteLength > 0 && account.heldBytes + byteLength > maxBytes) {
      throw this.#close(account, new HoldfastError('LIMIT', `${account.peer} would make this node hold more than ${maxBytes} bytes`, { peer: account.peer, heldBytes: account.heldBytes, byteLength }))
    }
    account.heldBytes += byteLength
    this.#heldBytes += byteLength
    while (this.#heldBytes > this.#limits.maxBytes) this.#closeHeaviest()
    if (account.isClosed && byteLength > 0) throw new HoldfastError('LIMIT', `${account.peer} held most of the ${this.#limits.maxBytes} bytes that all peers may`, { peer: account.peer })
  }

  #closeHeaviest (): void {
    const heaviest = this.#accounts.values().reduce((most, account) => account.heldBytes > most.heldBytes ? account : most)
    this.#close(heaviest, new HoldfastError('LIMIT', `All peers together hold ${this.#limits.maxBytes} bytes, and ${heaviest.peer} the most of them`, { peer: heaviest.peer, heldBytes: heaviest.heldBytes }))
  }

  #close (account: Account, reason: HoldfastError): HoldfastError {
    account.isClosed = true
    this.#heldBytes -= account.heldBytes
    this.#accounts.delete(account.peer)
    this.#onOverdraft({ peer: account.peer, heldBytes: account.heldBytes, reason })
    return reason
  }
}

interface Account {
  readonly peer: PeerId
  heldBytes: number
  /** Holders that have not given back their line. */
  lineCount: number
  /** The peer was reported: nothing of it counts any more. */
  isClosed: boolean
}
