/** Bytes that one session may ask for in its turn while others wait for theirs: a block of 1 MiB, or four of 256 KiB. */
export const TURN_BYTES: number = 1024 * 1024

/** A session that was refused more of a peer. */
export interface RoomWaiter {
  /** It is this one's turn, until it returns: it may ask for some blocks, and wait again. */
  onRoom(): void
}

interface Place {
  /** Bytes of the block that it wants next. */
  needBytes: number
  /** What is left of its turn, in bytes. */
  leftBytes: number
}

/**
 * Shares the window of one peer between the sessions that have more to ask of it.
 *
 * Deficit round robin: whoever is refused waits at the end, and nobody gets past those who wait; so each gets the same share
 * of bytes, however fast the others ask and however long their blocks are. A turn is given when something that was owed
 * came, and costs the same however many wait.
 *
 * @see M. Shreedhar, G. Varghese: Efficient fair queueing using deficit round-robin, 1996
 */
export class RoomQueue {
  readonly #hasRoom: (byteLength: number) => boolean
  readonly #waiting = new Map<RoomWaiter, Place>()
  #turn: { readonly waiter: RoomWaiter, readonly place: Place, askedCount: number } | undefined
  #isScheduled = false

  /** @param hasRoom Reports whether the peer may be asked for so many bytes more. */
  constructor (hasRoom: (byteLength: number) => boolean) {
    this.#hasRoom = hasRoom
  }

  /** Reports whether nobody else is to ask before this one. */
  isTurnOf (waiter: RoomWaiter): boolean {
    if (this.#waiting.size === 0 || this.#waiting.size === 1 && this.#waiting.has(waiter)) return true
    return this.#turn?.waiter === waiter && this.#turn.place.leftBytes > 0
  }

  isWaiting (waiter: RoomWaiter): boolean {
    return this.#waiting.has(waiter)
  }

  /** Waits for room for so many bytes: at the end, or where it waits already. */
  wait (waiter: RoomWaiter, byteLength: number): void {
    const place = this.#waiting.get(waiter)
    if (place === undefined) this.#waiting.set(waiter, { needBytes: byteLength, leftBytes: TURN_BYTES })
    else place.needBytes = byteLength
  }

  leave (waiter: RoomWaiter): void {
    if (this.#waiting.delete(waiter)) this.freed()
  }

  /** A block was asked for. */
  asked (byteLength: number): void {
    if (this.#turn === undefined) return
    this.#turn.askedCount++
    this.#turn.place.leftBytes -= byteLength
  }

  /** There may be room now: turns are given soon, not in the middle of what freed it. */
  freed (): void {
    if (this.#waiting.size === 0 || this.#isScheduled) return
    this.#isScheduled = true
    queueMicrotask(() => {
      this.#isScheduled = false
      this.giveTurns()
    })
  }

  /** Lets those who wait ask, one after the other, while there is room for the first and somebody makes use of it. */
  giveTurns (): void {
    for (let unusedCount = 0; unusedCount < this.#waiting.size;) {
      const [first] = this.#waiting
      if (first === undefined || !this.#hasRoom(first[1].needBytes)) return
      unusedCount = this.#giveTurn(...first) ? 0 : unusedCount + 1
    }
  }

  /** Reports whether it asked for anything. When there was no room for the whole turn, the rest comes first the next time. */
  #giveTurn (waiter: RoomWaiter, place: Place): boolean {
    const turn = { waiter, place, askedCount: 0 }
    this.#turn = turn
    try {
      waiter.onRoom()
    } finally {
      this.#turn = undefined
    }
    if (place.leftBytes <= 0 || turn.askedCount === 0) this.#moveToEnd(waiter, place)
    return turn.askedCount > 0
  }

  #moveToEnd (waiter: RoomWaiter, place: Place): void {
    if (!this.#waiting.delete(waiter)) return
    place.leftBytes = Math.min(place.leftBytes + TURN_BYTES, TURN_BYTES)
    this.#waiting.set(waiter, place)
  }
}
