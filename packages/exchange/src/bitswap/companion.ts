import type { AskedPeer } from './asked-peer.ts'
import { type Candidate, candidateOf } from './rendezvous.ts'
import type { Want } from './want.ts'

/** Times that a companion which sent nothing is waited for once more after it came to life. */
const MAX_RETURNS = 3

/** How long the question whether an absent companion came to life stands, in milliseconds: as long as the answer is listened to. */
const CALL_MS = 30_000

/** A peer that fetches the same DAG: what it owes, and whether it takes part. */
export class Companion {
  readonly candidate: Candidate
  /** Wants that it was asked to send once it has their blocks. */
  readonly #asked = new Set<Want>()
  /** Wants for which its window has no room. */
  readonly #backlog = new Set<Want>()
  #lastMs = 0
  #isAbsent = false
  #returnCount = 0
  #calledAtMs = -Infinity

  constructor (id: string) {
    this.candidate = candidateOf(id)
  }

  get isAbsent (): boolean {
    return this.#isAbsent
  }

  /** When it sent a block last, or was asked for one while it owed none; by `performance.now()`. */
  get lastMs (): number {
    return this.#lastMs
  }

  get owedCount (): number {
    return this.#asked.size + this.#backlog.size
  }

  /** Waits for a block of it, in the order of asking. */
  owe (want: Want, peer: AskedPeer): void {
    if (this.owedCount === 0) this.#lastMs = performance.now()
    this.#backlog.add(want)
    this.ask(peer)
  }

  /** Asks for as much as its window allows. */
  ask (peer: AskedPeer): void {
    for (const want of this.#backlog) {
      if (!peer.askPatiently(want)) return
      this.#backlog.delete(want)
      this.#asked.add(want)
    }
  }

  /** The want is over, or asked elsewhere. */
  forget (want: Want): void {
    this.#asked.delete(want)
    this.#backlog.delete(want)
  }

  delivered (): void {
    this.#lastMs = performance.now()
    this.return()
  }

  /** It shows that it takes part after all. */
  return (): void {
    if (!this.#isAbsent || this.#returnCount >= MAX_RETURNS) return
    this.#isAbsent = false
    this.#returnCount++
  }

  /** It is waited for no longer, and for good when it `isSlow`. A block that comes late is still welcome. */
  leave (peer: AskedPeer | undefined, { isSlow }: { isSlow: boolean }): Want[] {
    this.#isAbsent = true
    if (isSlow) this.#returnCount = MAX_RETURNS
    for (const want of this.#asked) peer?.waitNoMore(want)
    return this.takeOwed()
  }

  /** Hands all out that it owes. */
  takeOwed (): Want[] {
    const owed = [...this.#asked, ...this.#backlog]
    this.#asked.clear()
    this.#backlog.clear()
    return owed
  }

  /** Has an absent one say when it has a block that would be of its share: then it takes part. */
  call (peer: AskedPeer, want: Want): void {
    const nowMs = performance.now()
    if (this.#returnCount >= MAX_RETURNS || nowMs - this.#calledAtMs < CALL_MS || want.askedForHave.has(peer)) return
    this.#calledAtMs = nowMs
    peer.askForHave(want, { isPatient: true })
  }
}
