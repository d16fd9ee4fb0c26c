import type { Host, PeerId } from '@holdfast/network'
import { MEMBER_BYTES } from '../limits.ts'

/** Gives members of the cluster more of this node than strangers get: a larger account of bytes, and a connection that stays. */
export class MemberPrivileges implements Disposable {
  readonly #host: Pick<Host, 'allowBytes' | 'protect'>
  readonly #byPeer = new Map<PeerId, DisposableStack>()

  constructor (host: Pick<Host, 'allowBytes' | 'protect'>) {
    this.#host = host
  }

  /** Gives them to these peers, and takes them from all others. */
  grant (peers: ReadonlySet<PeerId>): void {
    for (const [peer, privileges] of this.#byPeer) {
      if (peers.has(peer)) continue
      privileges.dispose()
      this.#byPeer.delete(peer)
    }
    for (const peer of peers) {
      if (this.#byPeer.has(peer)) continue
      const privileges = new DisposableStack()
      privileges.use(this.#host.allowBytes(peer, MEMBER_BYTES))
      privileges.use(this.#host.protect(peer))
      this.#byPeer.set(peer, privileges)
    }
  }

  [Symbol.dispose] (): void {
    this.grant(new Set())
  }
}
