import { HoldfastError } from '@holdfast/core'
import type { Host } from '@holdfast/network'
import type { Pin, PinSet } from '@holdfast/pins'

/** Events that wait for one listener; one that falls further behind is cut off. A burst of an import, at about 200 bytes each. */
export const MAX_WAITING_EVENTS = 4096

/** What happened in a node. */
export type NodeEvent =
  | { readonly type: 'added', readonly cid: string }
  | { readonly type: 'pinned' | 'unpinned', readonly cid: string, readonly kind: Pin['kind'], readonly name?: string }
  | { readonly type: 'collected', readonly removedCount: number, readonly removedByteLength: number }
  | { readonly type: 'peer-connected' | 'peer-disconnected', readonly peer: string }

/** An event and when it happened, in milliseconds since 1970. */
export type TimedNodeEvent = NodeEvent & { readonly atMs: number }

/** Tells whoever listens what happens in a node. Nothing waits for a listener. Disposing it ends every listening in order. */
export class NodeEvents implements Disposable {
  readonly #listeners = new Set<Listener>()

  get listenerCount (): number {
    return this.#listeners.size
  }

  tell (event: NodeEvent): void {
    if (this.#listeners.size === 0) return
    const timed = { ...event, atMs: Date.now() }
    for (const listener of this.#listeners) listener.push(timed)
  }

  /**
   * Begins to listen at once; the events come when they are iterated, and the iteration ends with the node or rejects by `signal`.
   *
   * @param onCut Called when more than `MAX_WAITING_EVENTS` wait; the iteration then rejects with `LIMIT`.
   */
  listen ({ signal, onCut }: { signal: AbortSignal, onCut: () => void }): AsyncIterable<TimedNodeEvent> {
    const listener = new Listener(onCut)
    this.#listeners.add(listener)
    const leave = (): void => {
      this.#listeners.delete(listener)
      listener.end(signal.reason)
    }
    signal.addEventListener('abort', leave, { once: true })
    if (signal.aborted) leave()
    return listener.events()
  }

  [Symbol.dispose] (): void {
    for (const listener of this.#listeners) listener.finish()
    this.#listeners.clear()
  }
}

class Listener {
  readonly #onCut: () => void
  #waiting: TimedNodeEvent[] = []
  #arrived: PromiseWithResolvers<void> | undefined
  #ended: { readonly reason: unknown } | undefined
  #isLast = false

  constructor (onCut: () => void) {
    this.#onCut = onCut
  }

  push (event: TimedNodeEvent): void {
    if (this.#ended !== undefined || this.#isLast) return
    if (this.#waiting.length < MAX_WAITING_EVENTS) {
      this.#waiting.push(event)
      this.#arrived?.resolve()
      return
    }
    this.end(new HoldfastError('LIMIT', `More than ${MAX_WAITING_EVENTS} events wait: the listener is too slow`))
    this.#onCut()
  }

  end (reason: unknown): void {
    this.#ended ??= { reason }
    this.#arrived?.resolve()
  }

  /** Lets the iteration end after what waits. */
  finish (): void {
    this.#isLast = true
    this.#arrived?.resolve()
  }

  async * events (): AsyncIterable<TimedNodeEvent> {
    for (;;) {
      if (this.#ended !== undefined) throw this.#ended.reason
      const events = this.#waiting
      this.#waiting = []
      yield * events
      if (this.#waiting.length > 0 || this.#ended !== undefined) continue
      if (this.#isLast) return
      this.#arrived = Promise.withResolvers()
      await this.#arrived.promise
    }
  }
}

/** The same pins, with their changes told once they are durable. A pin that was there already is no change. */
export function watchedPins (pins: PinSet, events: NodeEvents): PinSet {
  return {
    async add (request) {
      const before = new Set([...pins.list({ cid: request.cid })].map(({ id }) => id))
      const pin = await pins.add(request)
      if (!before.has(pin.id)) events.tell(pinEvent('pinned', pin))
      return pin
    },
    async remove (match) {
      const removed = await pins.remove(match)
      for (const pin of removed) events.tell(pinEvent('unpinned', pin))
      return removed
    },
    list: (filter) => pins.list(filter),
    isPinned: (cid) => pins.isPinned(cid),
    has: (match) => pins.has(match),
    watch: (listener) => pins.watch(listener),
    get count () { return pins.count },
    [Symbol.asyncDispose]: async () => { await pins[Symbol.asyncDispose]() }
  }
}

function pinEvent (type: 'pinned' | 'unpinned', { cid, kind, name }: Pin): NodeEvent {
  return { type, cid: cid.toString(), kind, ...(name === undefined ? {} : { name }) }
}

/** Tells of peers that come and go, beginning with those that are there. */
export function watchHost (host: Pick<Host, 'watchPeers'>, events: NodeEvents): Disposable {
  return host.watchPeers({
    connected (peer) { events.tell({ type: 'peer-connected', peer }) },
    disconnected (peer) { events.tell({ type: 'peer-disconnected', peer }) }
  })
}
