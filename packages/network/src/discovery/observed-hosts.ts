import { MAX_OBSERVED_HOSTS, OBSERVER_QUORUM } from './discovery-limits.ts'

/** Counts which public IP address peers see us come from. A host is worth trying when so many peers of different networks name it. */
export class ObservedHosts {
  readonly #observersByHost = new Map<string, Set<string>>()

  /**
   * Takes what one peer saw; each /16 of observers counts once, so that one machine with many names is one voice.
   *
   * @returns true when `host` reached `OBSERVER_QUORUM` with this.
   */
  note (host: string, observerHost: string): boolean {
    const observers = this.#observersOf(host)
    if (observers.size >= OBSERVER_QUORUM) return false
    observers.add(networkOf(observerHost))
    return observers.size === OBSERVER_QUORUM
  }

  #observersOf (host: string): Set<string> {
    const observers = this.#observersByHost.get(host) ?? new Set()
    this.#observersByHost.delete(host)
    this.#observersByHost.set(host, observers)
    const [oldest] = this.#observersByHost.keys()
    if (this.#observersByHost.size > MAX_OBSERVED_HOSTS && oldest !== undefined) this.#observersByHost.delete(oldest)
    return observers
  }
}

/** The first 16 bits of an IPv4 address. */
function networkOf (host: string): string {
  return host.split('.', 2).join('.')
}
