import type { DurationHistogram } from '@holdfast/gateway'
import type { ApiNode } from '../api-node.ts'
import { counter, gauge, histogramSamples, type Metric, type Sample } from './prometheus.ts'

/** The figures of the gateway, by the form that was asked for: `default` when none was, `none` when it was not looked at. */
export function gatewayMetrics ({ openCount, requests, cutCount, sentByteLengthByFormat, durationsByFormat, headerDurations, caches }: ReturnType<ApiNode['gatewayFigures']>): Metric[] {
  return [
    { name: 'holdfast_gateway_requests_total', help: 'Requests to the gateway that have ended, by form and class of status; none: the client left before', type: 'counter', samples: requests.map(({ format, status, count }) => ({ labels: { format, status }, value: count })) },
    gauge('holdfast_gateway_open_requests', 'Requests to the gateway that run', [{ value: openCount }]),
    counter('holdfast_gateway_cut_responses_total', 'Answers of the gateway that ended before they were whole', cutCount),
    { name: 'holdfast_gateway_sent_bytes_total', help: 'Bytes of the bodies of these answers', type: 'counter', samples: Object.entries(sentByteLengthByFormat).map(([format, value]) => ({ labels: { format }, value })) },
    { name: 'holdfast_gateway_request_duration_seconds', help: 'From a request to the end of its answer, in seconds', type: 'histogram', samples: Object.entries(durationsByFormat).flatMap(([format, durations]) => samplesOf(durations, { format })) },
    { name: 'holdfast_gateway_header_duration_seconds', help: 'From a request to the headers of its answer, in seconds', type: 'histogram', samples: samplesOf(headerDurations) },
    { name: 'holdfast_gateway_cache_lookups_total', help: 'How often the gateway remembered what it was asked for', type: 'counter', samples: Object.entries(caches).flatMap(([cache, { hitCount, missCount }]) => [{ labels: { cache, result: 'hit' }, value: hitCount }, { labels: { cache, result: 'miss' }, value: missCount }]) }
  ]
}

function samplesOf ({ boundsSeconds, counts, sumSeconds }: DurationHistogram, labels?: Readonly<Record<string, string>>): Sample[] {
  return histogramSamples({ bounds: boundsSeconds, counts, sum: sumSeconds }, labels)
}
