import type { AskedPeer } from './asked-peer.ts'
import type { Want } from './want.ts'

/**
 * How long whoever was asked for a block may keep silent once somebody else said that it has it, in milliseconds.
 *
 * The answer to HAVE overtakes the block that it is about: a second ask at once made every block that was
 * asked for at the start of a session come from each of its peers (far-peers.test.ts).
 */
export const HEDGE_MS = 200

/** How often hedges that are due are looked for, in milliseconds. */
const TICK_MS = 50

/** Times that a hedge is put off while bytes come in from the peer that was asked. */
const MAX_PUT_OFFS = 4

export interface HedgesOptions {
  /** Reports whether somebody waits for the block, and whoever was asked for it has not proven itself. */
  readonly isDoubtful: (want: Want) => boolean
  /** Asks `peer`, too. */
  readonly ask: (want: Want, peer: AskedPeer) => void
}

interface Hedge {
  readonly want: Want
  readonly peer: AskedPeer
  dueMs: number
  putOffCount: number
}

/** Second asks for blocks that were asked of a peer which may be silent for ever, each after a pause in which the first may answer. */
export class Hedges implements Disposable {
  readonly #options: HedgesOptions
  /** By want: who has it. */
  readonly #hedges = new Map<Want, Hedge>()
  #timer: NodeJS.Timeout | undefined

  constructor (options: HedgesOptions) {
    this.#options = options
  }

  /** `peer` has a block that another peer was asked for. */
  add (want: Want, peer: AskedPeer): void {
    if (this.#hedges.has(want) || want.askedForBlock.has(peer) || !this.#options.isDoubtful(want)) return
    this.#hedges.set(want, { want, peer, dueMs: performance.now() + HEDGE_MS, putOffCount: 0 })
    this.#timer ??= setInterval(() => { this.#look() }, TICK_MS).unref()
  }

  [Symbol.dispose] (): void {
    this.#hedges.clear()
    clearInterval(this.#timer)
    this.#timer = undefined
  }

  #look (): void {
    const nowMs = performance.now()
    for (const hedge of Array.from(this.#hedges.values())) {
      if (!this.#options.isDoubtful(hedge.want)) this.#hedges.delete(hedge.want)
      else if (nowMs >= hedge.dueMs) this.#end(hedge, nowMs)
    }
    if (this.#hedges.size === 0) this[Symbol.dispose]()
  }

  #end (hedge: Hedge, nowMs: number): void {
    const { want, peer } = hedge
    const isAnswering = want.askedForBlock.values().some(({ lastHeardMs }) => nowMs - lastHeardMs < HEDGE_MS)
    if (isAnswering && hedge.putOffCount++ < MAX_PUT_OFFS) {
      hedge.dueMs = nowMs + HEDGE_MS
      return
    }
    this.#hedges.delete(want)
    this.#options.ask(want, peer)
  }
}
