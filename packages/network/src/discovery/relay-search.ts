import type { Logger } from '@holdfast/core'
import type { TransportManager } from './libp2p-parts.ts'
import { multiaddr } from '@multiformats/multiaddr'
import type { Reachability } from '../host.ts'
import { RELAY_CHECK_INTERVAL_MS } from './discovery-limits.ts'

export interface RelaySearchDeps {
  readonly transportManager: TransportManager
  readonly log: Logger
  readonly reachability: () => Reachability
}

/**
 * Has the library look for a relay from the moment when it is known that nobody can dial this node.
 *
 * Not from the start, as the library would: a relay has few places, and who can be dialled needs none.
 */
export function startRelaySearch (deps: RelaySearchDeps): Disposable {
  const timer = setInterval(check, RELAY_CHECK_INTERVAL_MS).unref()
  function check (): void {
    if (deps.reachability().state !== 'private') return
    clearInterval(timer)
    void listenOnRelay(deps)
  }
  check()
  return { [Symbol.dispose] () { clearInterval(timer) } }
}

async function listenOnRelay ({ transportManager, log }: RelaySearchDeps): Promise<void> {
  try {
    // The address that stands for any relay that can be found.
    await transportManager.listen([multiaddr('/p2p-circuit')])
  } catch (err) {
    log.debug('The search for a relay cannot start', { err })
  }
}
