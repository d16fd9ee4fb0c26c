import type { PeerId } from '@holdfast/network'

/** What a peer that was asked did, at its best. */
export type PeerAnswer = 'silent' | 'dont-have' | 'have' | 'wrong bytes' | 'block'

/** What was tried to fetch something: the `details.report` of a fetch that gave up. */
export interface FetchReport {
  readonly peersAsked: ReadonlyArray<{ readonly peer: PeerId, readonly answer: PeerAnswer }>
  /** Provider records that content routing answered with. */
  readonly providersFound: number
  readonly dialsFailed: ReadonlyArray<{ readonly peer: PeerId, readonly reason: string }>
  readonly elapsedMs: number
  /** How content routing fared, in words. */
  readonly routing: string
}

/** Says in one sentence what a report holds. */
export function describeReport ({ peersAsked, providersFound, dialsFailed, routing }: FetchReport): string {
  const answers = Map.groupBy(peersAsked, ({ answer }) => answer)
  const asked = [...answers].map(([answer, peers]) => `${peers.length} ${answer}`).join(', ')
  const dials = dialsFailed.length === 0 ? '' : `, ${dialsFailed.length} of them could not be dialled`
  return `asked ${peersAsked.length} peers${asked === '' ? '' : ` (${asked})`}; found ${providersFound} providers${dials}; content routing: ${routing}`
}
