import type { Logger } from '@holdfast/core'
import type { Libp2p } from '@libp2p/interface'
import { deadline } from '../deadline.ts'
import { dialError } from '../dial-error.ts'
import { DIAL_TIMEOUT_MS } from '../limits.ts'
import { BOOTSTRAP_FIRST_RETRY_MS, BOOTSTRAP_MAX_RETRY_MS, ENOUGH_PEERS, MAX_BOOTSTRAP_DIALS, MAX_REMEMBERED_DIALS } from './discovery-limits.ts'
import { backoffMs, type BackoffOptions } from './backoff.ts'
import type { PeerAddress } from './bootstrap-peers.ts'

export interface BootstrapDeps {
  readonly node: Pick<Libp2p, 'dial' | 'getPeers' | 'addEventListener' | 'removeEventListener'>
  readonly log: Logger
  readonly hasSwarmKey: boolean
  /** Peers that were good, newest first; asked before each round. */
  readonly remembered: () => readonly PeerAddress[]
}

/**
 * Keeps a node in touch with the network: dials the bootstrap peers, and remembered ones beside them, while fewer than
 * `ENOUGH_PEERS` are connected.
 *
 * Works in the background and holds up nobody. An outage is one line in the log, and its end another. Not the library's
 * bootstrap module: that one tries each peer once, a second after the start.
 */
export function startBootstrapper (deps: BootstrapDeps, peers: readonly PeerAddress[], backoff: BackoffOptions = { firstMs: BOOTSTRAP_FIRST_RETRY_MS, maxMs: BOOTSTRAP_MAX_RETRY_MS }): AsyncDisposable {
  return new Bootstrapper(deps, peers, backoff)
}

class Bootstrapper implements AsyncDisposable {
  readonly #deps: BootstrapDeps
  readonly #peers: readonly PeerAddress[]
  readonly #backoff: BackoffOptions
  readonly #stopped = new AbortController()
  readonly #running: Promise<void>
  #wake: (() => void) | undefined
  /** Rounds since enough peers were connected. */
  #roundCount = 0
  #isOutage = false

  constructor (deps: BootstrapDeps, peers: readonly PeerAddress[], backoff: BackoffOptions) {
    this.#deps = deps
    this.#peers = peers
    this.#backoff = backoff
    deps.node.addEventListener('peer:disconnect', this.#onDisconnect)
    this.#running = this.#run()
  }

  async [Symbol.asyncDispose] (): Promise<void> {
    this.#deps.node.removeEventListener('peer:disconnect', this.#onDisconnect)
    this.#stopped.abort(new Error('The network stops'))
    this.#wake?.()
    await this.#running
  }

  async #run (): Promise<void> {
    const { signal } = this.#stopped
    while (!signal.aborted) {
      this.#roundCount++
      await this.#round()
      if (signal.aborted) return
      if (this.#hasEnough()) this.#roundCount = 0
      await this.#sleep(this.#roundCount === 0 ? undefined : backoffMs(this.#roundCount, this.#backoff))
    }
  }

  /** Dials who is not connected, a few at a time, until enough are. */
  async #round (): Promise<void> {
    const connected = new Set(this.#deps.node.getPeers().map(String))
    const candidates = this.#candidates().filter(({ peer }) => !connected.has(peer))
    const reasons: string[] = []
    let reachedCount = 0
    const waiting = candidates[Symbol.iterator]()
    const dialler = async (): Promise<void> => {
      for (const candidate of waiting) {
        if (this.#stopped.signal.aborted || this.#hasEnough()) return
        const reason = await this.#dial(candidate)
        if (reason === undefined) reachedCount++
        else reasons.push(reason)
      }
    }
    // An iterator is shared: each dialler takes the next one.
    await Promise.all(Array.from({ length: MAX_BOOTSTRAP_DIALS }, dialler))
    if (!this.#stopped.signal.aborted) this.#report(reachedCount, reasons)
  }

  async #dial ({ peer, address }: PeerAddress): Promise<string | undefined> {
    using timeout = deadline(DIAL_TIMEOUT_MS, this.#stopped.signal)
    try {
      await this.#deps.node.dial(address, { signal: timeout.signal })
      this.#onReached(peer)
      return undefined
    } catch (cause) {
      return dialError(address.toString(), cause, this.#deps).message
    }
  }

  #onReached (peer: string): void {
    if (this.#isOutage) this.#deps.log.info('A bootstrap peer was reached', { peer })
    this.#isOutage = false
  }

  #report (reachedCount: number, reasons: readonly string[]): void {
    const { log, node } = this.#deps
    if (reachedCount > 0 || reasons.length === 0 || node.getPeers().length > 0) return
    const facts = { triedCount: reasons.length, example: reasons[0] }
    if (this.#isOutage) log.debug('Still no bootstrap peer was reached', facts)
    else log.warn('No bootstrap peer was reached; this goes on in the background', facts)
    this.#isOutage = true
  }

  /** The configured ones and a few that are remembered, in turn, so that neither kind waits for the time-outs of the other. */
  #candidates (): PeerAddress[] {
    const configured = shuffled(this.#peers)
    const known = new Set(configured.map(({ peer }) => peer))
    const remembered = shuffled(this.#deps.remembered().filter(({ peer }) => !known.has(peer))).slice(0, MAX_REMEMBERED_DIALS)
    const length = Math.max(configured.length, remembered.length)
    return Array.from({ length }, (_, index) => [configured[index], remembered[index]]).flat().filter((candidate) => candidate !== undefined)
  }

  #hasEnough (): boolean {
    return this.#deps.node.getPeers().length >= ENOUGH_PEERS
  }

  readonly #onDisconnect = (): void => {
    // While a round waits for its turn, the loss of one more peer changes nothing.
    if (this.#roundCount === 0 && !this.#hasEnough()) this.#wake?.()
  }

  /** Waits so long, or until woken. */
  async #sleep (timeoutMs: number | undefined): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#wake = resolve
    const timer = timeoutMs === undefined ? undefined : setTimeout(resolve, timeoutMs).unref()
    await promise
    clearTimeout(timer)
    this.#wake = undefined
  }
}

function shuffled<T> (values: readonly T[]): T[] {
  return values.map((value) => ({ value, rank: Math.random() })).toSorted((a, b) => a.rank - b.rank).map(({ value }) => value)
}
