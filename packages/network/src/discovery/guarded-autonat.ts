/**
 * AutoNAT v1 of the library, with our hands on three of its parts.
 *
 * @see https://github.com/libp2p/specs/blob/master/autonat/autonat-v1.md
 */
import { autoNAT, type AutoNATComponents } from '@libp2p/autonat'
import type { Connection, Stream, StreamHandler } from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'
import { overriding } from '../overriding.ts'
import { DIAL_BACK_WINDOW_MS, MAX_DIAL_BACKS, MAX_DIAL_BACKS_PER_PEER } from './discovery-limits.ts'
import { Rate } from './rate.ts'
import type { DialBackResult } from './reachability.ts'

/**
 * The service for libp2p; `onResult` is told what became of each address that peers dialled.
 *
 * - Dials for others are bounded by time: the library would dial as often as it is asked.
 * - Dials for others open a connection of their own. The library takes the one that the question came over, finds that its
 *   address is another, answers that the peer cannot be reached, and closes the connection under everybody who uses it.
 */
export function guardedAutoNat (onResult: (result: DialBackResult) => void): (components: AutoNATComponents) => unknown {
  return (components) => {
    const { registrar, connectionManager, addressManager } = components
    const rate = new Rate({ maxCount: MAX_DIAL_BACKS, maxPerKey: MAX_DIAL_BACKS_PER_PEER, windowMs: DIAL_BACK_WINDOW_MS })
    const note = (address: Multiaddr, wasReached: boolean): void => {
      onResult({ address: address.toString(), wasReached, peerCount: countOf(service, address, wasReached) })
    }
    const service = autoNAT()({
      ...partsOf(components),
      registrar: overriding(registrar, {
        handle: async (protocol, handler, options) => { await registrar.handle(protocol, limited(handler, rate), options) }
      }),
      connectionManager: overriding(connectionManager, {
        // A list of addresses is a peer of the random walk, a single one a question.
        openConnection: async (target, options) => await connectionManager.openConnection(target, Array.isArray(target) ? options : { ...options, force: true })
      }),
      addressManager: overriding(addressManager, {
        confirmObservedAddr (address, options) {
          note(address, true)
          addressManager.confirmObservedAddr(address, options)
        },
        removeObservedAddr (address) {
          note(address, false)
          addressManager.removeObservedAddr(address)
        }
      })
    })
    return service
  }
}

/** The components by name: libp2p hands out a proxy that cannot be spread. */
function partsOf (components: AutoNATComponents): AutoNATComponents {
  const { registrar, addressManager, transportManager, peerId, connectionManager, logger, randomWalk, events, peerStore } = components
  return { registrar, addressManager, transportManager, peerId, connectionManager, logger, randomWalk, events, peerStore }
}

function limited (handler: StreamHandler, rate: Rate): StreamHandler {
  return async (stream: Stream, connection: Connection) => {
    if (rate.take(connection.remotePeer.toString())) await handler(stream, connection)
    else stream.abort(new Error('Too many dials were asked for'))
  }
}

/** The library keeps the counts in a field that its types call private, until it has decided. */
function countOf (service: unknown, address: Multiaddr, wasReached: boolean): number | undefined {
  if (typeof service !== 'object' || service === null || !('dialResults' in service) || !(service.dialResults instanceof Map)) return undefined
  const result: unknown = service.dialResults.get(address.toString())
  if (typeof result !== 'object' || result === null || !('success' in result) || !('failure' in result)) return undefined
  const count = wasReached ? result.success : result.failure
  return typeof count === 'number' && count > 0 ? count : undefined
}
