import type { ByteCounts } from '@holdfast/network'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import type { ApiNode } from '../api-node.ts'
import { gatewayMetrics } from './gateway-metrics.ts'
import { counter, gauge, type Metric, optional, type Sample } from './prometheus.ts'

/** How old the count of blocks may be, in milliseconds: counting them may walk the whole store. */
const USAGE_MAX_AGE_MS: number = 5 * 60 * 1000

/** Calls of the RPC that have ended, and those that run. */
export interface CallCounts {
  readonly openCount: number
  counted(): Iterable<{ readonly command: string, readonly status: number, readonly count: number }>
}

/** The figures of a node and its process. Nothing is measured before somebody asks for the first time. */
export class NodeMetrics {
  readonly #node: ApiNode
  readonly #calls: CallCounts
  #agent: string | undefined
  #delay: ReturnType<typeof monitorEventLoopDelay> | undefined
  #usage: { readonly blockCount: number, readonly byteLength: number } | undefined
  #usageAtMs = -Infinity

  constructor (node: ApiNode, calls: CallCounts) {
    this.#node = node
    this.#calls = calls
  }

  /** Reads every figure as it is now. The count of blocks is missing until the first count is done. */
  read (): Metric[] {
    this.#countBlocks()
    return [...this.#ofNode(), ...this.#ofPeers(), ...this.#ofAnnouncements(), ...this.#ofCluster(), ...gatewayMetrics(this.#node.gatewayFigures()), ...this.#ofCalls(), ...this.#ofProcess()]
  }

  #ofNode (): Metric[] {
    const { blockCount, byteLength, maxBytes } = this.#node.cache.status
    const agent = this.#agent ??= this.#node.describe().agent
    return [
      gauge('holdfast_build_info', 'The program that runs', [{ labels: { agent, node: process.version }, value: 1 }]),
      gauge('holdfast_blocks', 'Blocks in the store, counted every few minutes', optional(this.#usage?.blockCount)),
      gauge('holdfast_block_bytes', 'Bytes of those blocks', optional(this.#usage?.byteLength)),
      gauge('holdfast_in_place_blocks', 'Blocks that lie in files of the user', optional(this.#node.inPlace.references.blockCount)),
      gauge('holdfast_in_place_bytes', 'Bytes of those blocks', optional(this.#node.inPlace.references.byteLength)),
      gauge('holdfast_cache_blocks', 'Blocks in the store that were only fetched', [{ value: blockCount }]),
      gauge('holdfast_cache_bytes', 'Bytes of those blocks', [{ value: byteLength }]),
      gauge('holdfast_cache_max_bytes', 'What these may be at most', [{ value: maxBytes }]),
      gauge('holdfast_pins', 'Pins, recursive and direct', [{ value: this.#node.pins.count }]),
      gauge('holdfast_leases', 'Imports and fetches that protect blocks', [{ value: this.#node.leases.list().length }]),
      gauge('holdfast_journal_bytes', 'Bytes of the journal', [{ value: this.#node.journal.byteLength }])
    ]
  }

  #ofPeers (): Metric[] {
    const { total, byProtocol } = this.#node.host.traffic()
    const exchange = this.#node.exchangeStats()
    const peers = this.#node.host.peers()
    const ofProtocols = (bytesOf: (counts: ByteCounts) => number): Sample[] => Object.entries(byProtocol).map(([protocol, counts]) => ({ labels: { protocol }, value: bytesOf(counts) }))
    return [
      gauge('holdfast_peers', 'Peers that are connected', (['inbound', 'outbound'] as const).map((direction) => ({ labels: { direction }, value: peers.filter((peer) => peer.direction === direction).length }))),
      counter('holdfast_network_sent_bytes_total', 'Bytes sent to peers, with framing', total.sentBytes),
      counter('holdfast_network_received_bytes_total', 'Bytes received from peers, with framing', total.receivedBytes),
      { name: 'holdfast_protocol_sent_bytes_total', help: 'Bytes sent inside the streams of each protocol', type: 'counter', samples: ofProtocols(({ sentBytes }) => sentBytes) },
      { name: 'holdfast_protocol_received_bytes_total', help: 'Bytes received inside the streams of each protocol', type: 'counter', samples: ofProtocols(({ receivedBytes }) => receivedBytes) },
      counter('holdfast_bitswap_sent_blocks_total', 'Blocks sent to peers', exchange.sentBlockCount),
      counter('holdfast_bitswap_sent_bytes_total', 'Bytes of those blocks', exchange.sentByteLength),
      counter('holdfast_bitswap_received_blocks_total', 'Blocks received from peers', exchange.receivedBlockCount),
      counter('holdfast_bitswap_received_bytes_total', 'Bytes of those blocks', exchange.receivedByteLength),
      counter('holdfast_bitswap_duplicate_blocks_total', 'Blocks that came again', exchange.duplicateBlockCount),
      counter('holdfast_bitswap_duplicate_bytes_total', 'Bytes of those blocks', exchange.duplicateByteLength),
      gauge('holdfast_bitswap_open_wants', 'Blocks that are waited for', [{ value: exchange.openWantCount }])
    ]
  }

  #ofAnnouncements (): Metric[] {
    const { waitingCount, round: { isRunning, announcedCount, failedCount, startedAtMs } } = this.#node.announcer.status()
    return [
      gauge('holdfast_announcements_waiting', 'Roots that wait for their first announcement', [{ value: waitingCount }]),
      gauge('holdfast_announcement_round_running', 'Whether a round of announcements runs', [{ value: isRunning ? 1 : 0 }]),
      gauge('holdfast_announcement_round_cids', 'CIDs announced in the round that runs or ran last', [{ labels: { result: 'taken' }, value: announcedCount - failedCount }, { labels: { result: 'failed' }, value: failedCount }]),
      gauge('holdfast_announcement_round_start_time_seconds', 'When that round began, in seconds since 1970', optional(startedAtMs === undefined ? undefined : startedAtMs / 1000))
    ]
  }

  #ofCluster (): Metric[] {
    const { replication, keeper } = this.#node
    const { fetchingCount, queuedCount, repairedCount, refusedCount, usedBytes, capacityBytes } = keeper.stats
    const members = replication.members()
    const aliveCount = members.filter(({ isAlive }) => isAlive).length
    return [
      gauge('holdfast_cluster_members', 'Members of the cluster', [{ labels: { state: 'alive' }, value: aliveCount }, { labels: { state: 'gone' }, value: members.length - aliveCount }]),
      gauge('holdfast_cluster_pins', 'Pins of the cluster, deleted ones included', [{ value: replication.stats().pinCount }]),
      gauge('holdfast_cluster_cut_off', 'Whether this node takes itself for the one that is cut off', [{ value: keeper.isCutOff ? 1 : 0 }]),
      gauge('holdfast_copies_bytes', 'Bytes of the copies that this node keeps for the cluster', [{ value: usedBytes }]),
      gauge('holdfast_copies_max_bytes', 'What these may be at most', [{ value: capacityBytes }]),
      gauge('holdfast_copies_fetching', 'Copies that are fetched', [{ value: fetchingCount }]),
      gauge('holdfast_copies_queued', 'Copies that wait to be fetched', [{ value: queuedCount }]),
      gauge('holdfast_copies_refused', 'Copies that there is no space for', [{ value: refusedCount }]),
      counter('holdfast_copies_repaired_total', 'Copies made here because others were lost', repairedCount)
    ]
  }

  #ofCalls (): Metric[] {
    const samples = [...this.#calls.counted()].map(({ command, status, count }) => ({ labels: { command, status: String(status) }, value: count }))
    return [
      { name: 'holdfast_rpc_calls_total', help: 'Calls of the RPC that have ended; no command: turned away', type: 'counter', samples },
      gauge('holdfast_rpc_open_calls', 'Calls of the RPC that run', [{ value: this.#calls.openCount }]),
      gauge('holdfast_event_listeners', 'Callers that listen to events', [{ value: this.#node.events.listenerCount }])
    ]
  }

  #ofProcess (): Metric[] {
    const { user, system } = process.cpuUsage()
    const { rss, heapUsed, external } = process.memoryUsage()
    return [
      counter('process_cpu_seconds_total', 'Processor time', (user + system) / 1e6),
      gauge('process_resident_memory_bytes', 'Resident memory', [{ value: rss }]),
      gauge('nodejs_heap_size_used_bytes', 'Memory of the JavaScript heap in use', [{ value: heapUsed }]),
      gauge('nodejs_external_memory_bytes', 'Memory outside of the heap', [{ value: external }]),
      gauge('process_start_time_seconds', 'When the process began, in seconds since 1970', [{ value: (Date.now() - performance.now()) / 1000 }]),
      gauge('nodejs_eventloop_lag_seconds', 'How late timers fired since this was last asked', this.#lag())
    ]
  }

  #lag (): Sample[] {
    if (this.#delay === undefined) {
      this.#delay = monitorEventLoopDelay({ resolution: 20 })
      this.#delay.enable()
      return []
    }
    const { count, mean, max } = this.#delay
    // Asked too soon for a measurement: what is under way goes on.
    if (count === 0) return []
    const samples = [['mean', mean] as const, ['p99', this.#delay.percentile(99)] as const, ['max', max] as const].map(([statistic, ns]) => ({ labels: { statistic }, value: ns / 1e9 }))
    this.#delay.reset()
    return samples
  }

  #countBlocks (): void {
    const nowMs = performance.now()
    if (nowMs - this.#usageAtMs < USAGE_MAX_AGE_MS) return
    this.#usageAtMs = nowMs
    this.#node.blocks.usage().then(
      ({ blockCount, byteLength }) => {
        const inPlace = this.#node.inPlace.references
        this.#usage = { blockCount: blockCount - inPlace.blockCount, byteLength: byteLength - inPlace.byteLength }
      },
      (err: unknown) => { this.#node.log.warn('The blocks could not be counted', { err }) }
    )
  }
}
