import { isErrorCode } from '@holdfast/core/errors'

/** Contents by path below the root; the path of a root that is a file is empty. */
export type Files = ReadonlyMap<string, Buffer>

/** A root as the clients know it. */
export interface Entry {
  readonly cid: string
  readonly files: Files
  /** The client that works on it; no other one does. */
  readonly owner: string
  /** What was acknowledged last, or `unsure` when the answer to a request never came. */
  state: 'pinned' | 'unpinned' | 'unsure'
}

/** Unpinned roots of one client whose content is kept to be added again. */
const KEPT_UNPINNED = 20

/**
 * What the daemon acknowledged, kept outside of it: the measure of what must be there after a crash.
 *
 * A request without an answer leaves its root `unsure` until somebody has looked what became of it.
 */
export class Ledger {
  readonly #entries = new Map<string, Entry>()
  /** Unpinned for so long that only the name is kept. */
  readonly #forgotten = new Set<string>()
  #pinCount = 0
  #unpinCount = 0
  #openAddCount = 0
  #answersCount = true

  /** Acknowledged pins and unpins in all. */
  get counts (): { readonly pins: number, readonly unpins: number } {
    return { pins: this.#pinCount, unpins: this.#unpinCount }
  }

  /** Adds whose answer never came: as many roots may be pinned that nobody here knows. */
  get openAddCount (): number {
    return this.#openAddCount
  }

  get entries (): readonly Entry[] {
    return [...this.#entries.values()]
  }

  entriesOf (owner: string, state: Entry['state']): readonly Entry[] {
    return this.entries.filter((entry) => entry.owner === owner && entry.state === state)
  }

  /** Reports whether the last word on this root was that it is unpinned. */
  isUnpinned (cid: string): boolean {
    return this.#forgotten.has(cid) || this.#entries.get(cid)?.state === 'unpinned'
  }

  /** Runs a request that adds content whose CID is not known before, and notes its answer. */
  async add (owner: string, files: Files, request: () => Promise<string>): Promise<void> {
    this.#openAddCount++
    const cid = await request()
    if (!this.#answersCount) return
    this.#openAddCount--
    this.#entries.set(cid, { cid, files, owner, state: 'pinned' })
    this.#pinCount++
  }

  /** Runs a request that pins a root, and notes its answer. */
  async pin (entry: Entry, request: () => Promise<unknown>): Promise<void> {
    if (await this.#request(entry, 'pinned', request)) this.#pinCount++
  }

  /** Runs a request that unpins a root, and notes its answer. */
  async unpin (entry: Entry, request: () => Promise<unknown>): Promise<void> {
    if (!await this.#request(entry, 'unpinned', request)) return
    this.#unpinCount++
    // Back to the end: the order of the entries is that in which they were pinned or unpinned.
    this.#entries.delete(entry.cid)
    this.#entries.set(entry.cid, entry)
    this.#forgetOldest(entry.owner)
  }

  /** Resolves with whether the request was acknowledged. */
  async #request (entry: Entry, wanted: Entry['state'], request: () => Promise<unknown>): Promise<boolean> {
    const before = entry.state
    entry.state = 'unsure'
    try {
      await request()
    } catch (err) {
      // The daemon lives and said that it did nothing.
      if (isErrorCode(err, 'NOT_FOUND') && this.#answersCount) entry.state = before
      throw err
    }
    if (this.#answersCount) entry.state = wanted
    return this.#answersCount
  }

  #forgetOldest (owner: string): void {
    const unpinned = this.entriesOf(owner, 'unpinned')
    for (const { cid } of unpinned.slice(0, Math.max(0, unpinned.length - KEPT_UNPINNED))) {
      this.#entries.delete(cid)
      this.#forgotten.add(cid)
    }
  }

  /** Lets no answer count until somebody has looked what became of the requests. */
  distrustAnswers (): void {
    this.#answersCount = false
  }

  /** Takes what is pinned for the outcome of every request whose answer never came. */
  settle (pinned: ReadonlySet<string>): void {
    this.#openAddCount = 0
    this.#answersCount = true
    for (const entry of this.#entries.values()) {
      if (entry.state === 'unsure') entry.state = pinned.has(entry.cid) ? 'pinned' : 'unpinned'
    }
  }

  /** Notes a root that an unanswered add had pinned, and that was unpinned since. */
  unpinUnknown (cid: string): void {
    this.#forgotten.add(cid)
    this.#unpinCount++
  }
}
