/**
 * Reads the text format of Prometheus as strictly as its specification allows, for tests of what is exposed.
 *
 * @see https://prometheus.io/docs/instrumenting/exposition_formats/ §"Text format details", https://prometheus.io/docs/practices/naming/
 */
import assert from 'node:assert/strict'

/** One metric with all of its lines. */
export interface MetricFamily {
  readonly help: string
  readonly type: string
  /** Values by the line up to them: `name{label="value"}`, labels in the order of the text. */
  readonly values: ReadonlyMap<string, number>
}

interface Line {
  readonly name: string
  readonly labels: string
  readonly value: number
}

const NAME = '[a-zA-Z_:][a-zA-Z0-9_:]*'
const LABEL = '[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\\\\n]|\\\\["\\\\n])*"'
const SAMPLE = new RegExp(`^(${NAME})(\\{${LABEL}(?:,${LABEL})*\\})? (\\S+)$`)

/** Returns the metrics by name. Fails on anything that a strict reader would refuse, and on names and units that break the conventions. */
export function parsePrometheus (text: string): Map<string, MetricFamily> {
  assert.ok(text.endsWith('\n'), 'the last line ends')
  const families = new Map<string, MetricFamily>()
  const blocks = text.slice(0, -1).split(/\n(?=# HELP )/)
  for (const block of blocks) {
    const [help = '', type = '', ...lines] = block.split('\n')
    const [, name = '', words = ''] = new RegExp(`^# HELP (${NAME}) (.+)$`).exec(help) ?? assert.fail(`no HELP: ${help}`)
    const kind = new RegExp(`^# TYPE ${name} (counter|gauge|histogram)$`).exec(type)?.[1] ?? assert.fail(`no TYPE behind ${help}: ${type}`)
    assert.ok(!families.has(name), `${name} comes once`)
    assert.ok(lines.length > 0, `${name} has a value`)
    const samples = lines.map(parseLine)
    requireConventions(name, kind, samples)
    const values = new Map(samples.map(({ name, labels, value }) => [`${name}${labels}`, value]))
    assert.equal(values.size, samples.length, `${name} has each set of labels once`)
    if (kind === 'histogram') requireHistogram(name, samples)
    families.set(name, { help: words, type: kind, values })
  }
  return families
}

function parseLine (line: string): Line {
  const [, name = '', labels = '', number = ''] = SAMPLE.exec(line) ?? assert.fail(`no sample: ${line}`)
  assert.match(number, /^([+-]?\d+(\.\d+)?(e[+-]?\d+)?|[+-]Inf)$/, line)
  return { name, labels, value: number.endsWith('Inf') ? Infinity * Number(`${number[0]}1`) : Number(number) }
}

const BASE_UNITS = /^(?!.*_(milliseconds|ms|microseconds|nanoseconds|minutes|hours|kilobytes|kib|kb|megabytes|mib|mb|bits|percent)(_total)?$)[a-z][a-z0-9_]*$/

function requireConventions (name: string, type: string, samples: readonly Line[]): void {
  assert.match(name, BASE_UNITS, 'lower case, base units')
  assert.equal(name.endsWith('_total'), type === 'counter', `${name}: counters and only they end in _total`)
  assert.doesNotMatch(name, /_(count|sum|bucket|info_total)$/, 'a suffix of histograms')
  for (const sample of samples) {
    assert.match(sample.name, type === 'histogram' ? new RegExp(`^${name}_(bucket|sum|count)$`) : new RegExp(`^${name}$`))
    if (type !== 'gauge') assert.ok(sample.value >= 0, `${sample.name} is not negative`)
  }
}

function requireHistogram (name: string, samples: readonly Line[]): void {
  const bySeries = Map.groupBy(samples, ({ labels }) => labels.replace(/,?le="[^"]*"/, '').replace(/^\{\}$/, ''))
  for (const [series, lines] of bySeries) {
    const buckets = lines.filter((line) => line.name === `${name}_bucket`).map(({ labels, value }) => ({ bound: /le="([^"]*)"/.exec(labels)?.[1] ?? assert.fail(`${name}${labels} has a bound`), value }))
    const bounds = buckets.map(({ bound }) => bound === '+Inf' ? Infinity : Number(bound))
    assert.deepEqual(bounds, bounds.toSorted((a, b) => a - b), `${name}${series}: bounds ascend`)
    assert.deepEqual(buckets.map(({ value }) => value), buckets.map(({ value }) => value).toSorted((a, b) => a - b), `${name}${series}: buckets hold what is below`)
    assert.equal(bounds.at(-1), Infinity)
    assert.equal(lines.find((line) => line.name === `${name}_count`)?.value, buckets.at(-1)?.value)
    assert.ok(lines.some((line) => line.name === `${name}_sum`), `${name}${series} has a sum`)
  }
}
