/**
 * The text format of Prometheus.
 *
 * ```
 * # HELP name what it is
 * # TYPE name counter
 * name{label="value"} 1
 *
 * # TYPE other histogram
 * other_bucket{le="0.5"} 1     at most half a second
 * other_bucket{le="+Inf"} 2    all of them
 * other_sum 3.1
 * other_count 2
 * ```
 *
 * @see https://prometheus.io/docs/instrumenting/exposition_formats/ §"Text-based format"
 */

/** The media type of the format. */
export const PROMETHEUS_CONTENT_TYPE = 'text/plain; version=0.0.4; charset=utf-8'

/** One figure, perhaps of several things that labels tell apart. */
export interface Metric {
  readonly name: string
  readonly help: string
  readonly type: 'counter' | 'gauge' | 'histogram'
  /** Of a histogram these are the lines of `histogramSamples`. */
  readonly samples: readonly Sample[]
}

export interface Sample {
  /** What stands behind the name of the metric: `_bucket`, `_sum` and `_count` of a histogram. @default nothing */
  readonly suffix?: string
  readonly labels?: Readonly<Record<string, string>>
  readonly value: number
}

/** How often something fell between bounds. */
export interface Histogram {
  /** Upper bounds, ascending. */
  readonly bounds: readonly number[]
  /** How many fell between each bound and the one below it; one more at the end, for those above all. */
  readonly counts: readonly number[]
  readonly sum: number
}

/** Writes a histogram as the samples of the format: its buckets count what is below them too. */
export function histogramSamples ({ bounds, counts, sum }: Histogram, labels: Readonly<Record<string, string>> = {}): Sample[] {
  let total = 0
  const buckets = counts.map((count, index) => ({ suffix: '_bucket', labels: { ...labels, le: numberIn(bounds[index] ?? Infinity) }, value: total += count }))
  return [...buckets, { suffix: '_sum', labels, value: sum }, { suffix: '_count', labels, value: total }]
}

/** A figure that goes up and down. */
export function gauge (name: string, help: string, samples: readonly Sample[]): Metric {
  return { name, help, type: 'gauge', samples }
}

/** A figure that only grows while the process runs. */
export function counter (name: string, help: string, value: number): Metric {
  return { name, help, type: 'counter', samples: [{ value }] }
}

/** One sample, or none of what is not known. */
export function optional (value: number | undefined): Sample[] {
  return value === undefined ? [] : [{ value }]
}

/** Writes metrics; one without samples is left out. */
export function writePrometheus (metrics: readonly Metric[]): string {
  return metrics.filter(({ samples }) => samples.length > 0).map(({ name, help, type, samples }) => [
    `# HELP ${name} ${escape(help)}`,
    `# TYPE ${name} ${type}`,
    ...samples.map(({ suffix = '', labels = {}, value }) => `${name}${suffix}${labelsIn(labels)} ${numberIn(value)}`),
    ''
  ].join('\n')).join('')
}

function labelsIn (labels: Readonly<Record<string, string>>): string {
  const pairs = Object.entries(labels).map(([name, value]) => `${name}="${escape(value).replaceAll('"', '\\"')}"`)
  return pairs.length === 0 ? '' : `{${pairs.join(',')}}`
}

function escape (text: string): string {
  return text.replaceAll('\\', '\\\\').replaceAll('\n', '\\n')
}

function numberIn (value: number): string {
  return value === Infinity ? '+Inf' : value === -Infinity ? '-Inf' : String(value)
}
