import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parsePrometheus } from './prometheus.ts'

const HISTOGRAM = ['# HELP d_seconds d', '# TYPE d_seconds histogram', 'd_seconds_bucket{f="x",le="0.5"} 1', 'd_seconds_bucket{f="x",le="+Inf"} 3', 'd_seconds_sum{f="x"} 4.5', 'd_seconds_count{f="x"} 3']

test('what is well formed is read', () => {
  const families = parsePrometheus(`# HELP a_total Things \\\\ done\n# TYPE a_total counter\na_total{x="say \\"hi\\"",y=""} 3\na_total 1e3\n${HISTOGRAM.join('\n')}\n`)
  assert.deepEqual([...families.keys()], ['a_total', 'd_seconds'])
  assert.equal(families.get('a_total')?.values.get('a_total{x="say \\"hi\\"",y=""}'), 3)
  assert.equal(families.get('d_seconds')?.values.get('d_seconds_bucket{f="x",le="+Inf"}'), 3)
})

const WRONG: Readonly<Record<string, string>> = {
  'a line without an end': '# HELP a a\n# TYPE a gauge\na 1',
  'no help': '# TYPE a gauge\na 1\n',
  'no type': '# HELP a a\na 1\n',
  'an empty help': '# HELP a \n# TYPE a gauge\na 1\n',
  'no value': '# HELP a a\n# TYPE a gauge\n',
  'a value that is no number': '# HELP a a\n# TYPE a gauge\na NaN\n',
  'a metric twice': '# HELP a a\n# TYPE a gauge\na 1\n# HELP a a\n# TYPE a gauge\na{x="1"} 1\n',
  'labels twice': '# HELP a a\n# TYPE a gauge\na{x="1"} 1\na{x="1"} 2\n',
  'a label that is not quoted': '# HELP a a\n# TYPE a gauge\na{x=1} 1\n',
  'a counter without _total': '# HELP a a\n# TYPE a counter\na 1\n',
  'a gauge with _total': '# HELP a_total a\n# TYPE a_total gauge\na_total 1\n',
  'a counter below zero': '# HELP a_total a\n# TYPE a_total counter\na_total -1\n',
  'milliseconds': '# HELP a_ms a\n# TYPE a_ms gauge\na_ms 1\n',
  'another metric among the lines': '# HELP a a\n# TYPE a gauge\nb 1\n',
  'buckets that fall': `${HISTOGRAM.join('\n').replace('le="0.5"} 1', 'le="0.5"} 4')}\n`,
  'a count that is not that of the last bucket': `${HISTOGRAM.join('\n').replace('count{f="x"} 3', 'count{f="x"} 2')}\n`,
  'no bucket for all': `${HISTOGRAM.filter((line) => !line.includes('+Inf')).join('\n')}\n`,
  'no sum': `${HISTOGRAM.filter((line) => !line.includes('_sum')).join('\n')}\n`
}

for (const [what, text] of Object.entries(WRONG)) test(`${what} is refused`, () => { assert.throws(() => parsePrometheus(text), assert.AssertionError) })
