import type { Logger } from '@holdfast/core'
import type { Connection, IdentifyResult, Libp2p } from '@libp2p/interface'
import { CODE_P2P } from '@multiformats/multiaddr'
import { MAX_REMEMBERED_PEERS, PEER_FILE_DELAY_MS } from './discovery-limits.ts'
import { readPeerFile, type RememberedPeer, writePeerFile } from './peer-file.ts'

export interface PeerMemoryDeps {
  readonly node: Pick<Libp2p, 'getConnections' | 'addEventListener' | 'removeEventListener'>
  readonly log: Logger
}

export interface PeerMemoryOptions {
  readonly path: string
  /** Who speaks one of these answers the questions of others, and so is worth coming back to. */
  readonly serverProtocols: readonly string[]
  /** @default `PEER_FILE_DELAY_MS` */
  readonly delayMs?: number
}

/** The peers that were good. */
export interface PeerMemory extends AsyncDisposable {
  /** Newest first. */
  list(): readonly RememberedPeer[]
}

/**
 * Remembers DHT servers that this node reached by itself, at most `MAX_REMEMBERED_PEERS`, from one run to the next.
 *
 * The file is written some time after a change and at the end. One that cannot be read or written costs a line in the log.
 */
export async function openPeerMemory (deps: PeerMemoryDeps, options: PeerMemoryOptions): Promise<PeerMemory> {
  return new FilePeerMemory(deps, options, await readOrWarn(options.path, deps.log))
}

class FilePeerMemory implements PeerMemory {
  readonly #deps: PeerMemoryDeps
  readonly #path: string
  readonly #serverProtocols: readonly string[]
  readonly #delayMs: number
  /** Oldest first. */
  readonly #peers: Map<string, RememberedPeer>
  #timer: NodeJS.Timeout | undefined
  #writing: Promise<void> = Promise.resolve()

  constructor (deps: PeerMemoryDeps, { path, serverProtocols, delayMs = PEER_FILE_DELAY_MS }: PeerMemoryOptions, found: readonly RememberedPeer[]) {
    this.#deps = deps
    this.#path = path
    this.#serverProtocols = serverProtocols
    this.#delayMs = delayMs
    this.#peers = new Map(found.toReversed().map((entry) => [entry.peer, entry]))
    deps.node.addEventListener('peer:identify', this.#onIdentify)
  }

  list (): readonly RememberedPeer[] {
    return [...this.#peers.values()].reverse()
  }

  async [Symbol.asyncDispose] (): Promise<void> {
    this.#deps.node.removeEventListener('peer:identify', this.#onIdentify)
    const isChanged = this.#timer !== undefined
    clearTimeout(this.#timer)
    if (isChanged) this.#write()
    await this.#writing
  }

  readonly #onIdentify = ({ detail: { connection, protocols } }: CustomEvent<IdentifyResult>): void => {
    // The address of one who came to us is that of a socket, not of a listener.
    if (connection.direction !== 'outbound' || !connection.direct) return
    if (!protocols.some((protocol) => this.#serverProtocols.includes(protocol))) return
    this.#remember(connection)
    this.#timer ??= setTimeout(() => { this.#write() }, this.#delayMs).unref()
  }

  #remember ({ remotePeer, remoteAddr }: Connection): void {
    const peer = remotePeer.toString()
    const address = remoteAddr.getComponents().some(({ code }) => code === CODE_P2P) ? remoteAddr : remoteAddr.encapsulate(`/p2p/${peer}`)
    this.#peers.delete(peer)
    this.#peers.set(peer, { peer, address, seenMs: Date.now() })
    const [oldest] = this.#peers.keys()
    if (this.#peers.size > MAX_REMEMBERED_PEERS && oldest !== undefined) this.#peers.delete(oldest)
  }

  #write (): void {
    this.#timer = undefined
    // Who is still there was good until now.
    for (const connection of this.#deps.node.getConnections()) {
      const isKnown = this.#peers.has(connection.remotePeer.toString())
      if (isKnown && connection.direction === 'outbound' && connection.direct) this.#remember(connection)
    }
    const peers = this.list()
    this.#writing = this.#writing.then(async () => { await writePeerFile(this.#path, peers) }).catch((err: unknown) => {
      this.#deps.log.warn('The remembered peers cannot be written', { path: this.#path, err })
    })
  }
}

async function readOrWarn (path: string, log: Logger): Promise<readonly RememberedPeer[]> {
  try {
    const peers = await readPeerFile(path)
    if (peers === undefined) log.warn('The file of remembered peers is damaged; it is made anew', { path })
    return peers ?? []
  } catch (err) {
    log.warn('The remembered peers cannot be read', { path, err })
    return []
  }
}
