import type { Want } from './want.ts'

/** How long the answer to HAVE is waited for once the block came from elsewhere, in milliseconds. */
const HAVE_TIMEOUT_MS = 30_000

/** A peer is not given up while bytes of a message come in, for at most this long per want, in milliseconds. */
const MAX_EXTENSION_MS = 15_000
const EXTENSION_MS = 1_000

/** `block`: to be sent at once; `patient`: to be sent once the peer has it; `have`: whether it has it, now or `have-patient` once it does. */
export type AskKind = 'block' | 'patient' | 'have' | 'have-patient'

export interface Ask {
  readonly want: Want
  readonly kind: AskKind
  readonly expectedBytes: number
  readonly askedAtMs: number
  /** Nothing else was owed when it was asked: the answer shows the round-trip time. */
  readonly foundIdle: boolean
  readonly expiresAtMs: number
  /** The answer was HAVE, and not the block. */
  readonly saysHave: boolean
}

/** What a peer did of late, by `performance.now()`. */
export interface Heard {
  readonly nowMs: number
  /** When bytes of blocks came in last. */
  readonly lastHeardMs: number
  /** When a block came last. */
  readonly lastDeliveryMs: number
}

interface Open extends Omit<Ask, 'expiresAtMs' | 'saysHave'> {
  expiresAtMs: number
  saysHave: boolean
  extendedMs: number
}

/** What was asked of one peer and not answered. */
export class Asks {
  /** In the order of asking, so the first to expire come first. */
  readonly #asks = new Map<string, Open>()
  #patientCount = 0
  #outstandingBytes = 0

  get count (): number {
    return this.#asks.size
  }

  get patientCount (): number {
    return this.#patientCount
  }

  /** Bytes that were asked for at once and did not come yet. */
  get outstandingBytes (): number {
    return this.#outstandingBytes
  }

  get all (): Ask[] {
    return Array.from(this.#asks.values())
  }

  /** Blocks that should be on their way, the first to expire first. */
  get owed (): IteratorObject<Ask> {
    return this.#asks.values().filter(({ kind }) => kind === 'block')
  }

  /** @param key As `multihashKey`. */
  get (key: string): Ask | undefined {
    return this.#asks.get(key)
  }

  /** Takes an ask in; the one before it about the same block has to be removed first. */
  add (ask: Ask): void {
    this.#asks.set(ask.want.key, { ...ask, extendedMs: 0 })
    this.#outstandingBytes += ask.expectedBytes
    if (ask.kind === 'patient') this.#patientCount++
  }

  /** The peer says that it has the block which it was asked for. */
  saidHave (key: string): void {
    const ask = this.#asks.get(key)
    if (ask !== undefined) ask.saysHave = true
  }

  remove (key: string): Ask | undefined {
    const ask = this.#asks.get(key)
    if (ask === undefined) return undefined
    this.#asks.delete(key)
    this.#outstandingBytes -= ask.expectedBytes
    if (ask.kind === 'patient') this.#patientCount--
    return ask
  }

  /**
   * Blocks that are overdue, and HAVE that nobody waits for any more. While bytes of a message come in, a peer is late and not
   * lost; one that sent nothing since an overdue block was asked for is taken to owe all the others in vain, too.
   */
  overdue (heard: Heard): { blocks: Want[], haves: Want[] } {
    const blocks: Want[] = []
    const haves: Want[] = []
    let isStalled = false
    for (const ask of this.#asks.values()) {
      if (ask.kind !== 'block') {
        if (ask.want.hasArrived && heard.nowMs - ask.askedAtMs > HAVE_TIMEOUT_MS) haves.push(ask.want)
      } else if (isStalled) {
        blocks.push(ask.want)
      } else if (ask.expiresAtMs > heard.nowMs) {
        break
      } else if (!extend(ask, heard)) {
        blocks.push(ask.want)
        isStalled = heard.lastDeliveryMs < ask.askedAtMs
      }
    }
    return { blocks, haves }
  }
}

function extend (ask: Open, { nowMs, lastHeardMs }: Heard): boolean {
  if (nowMs - lastHeardMs >= EXTENSION_MS || ask.extendedMs >= MAX_EXTENSION_MS) return false
  ask.expiresAtMs = nowMs + EXTENSION_MS
  ask.extendedMs += EXTENSION_MS
  return true
}
