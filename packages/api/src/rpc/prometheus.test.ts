import assert from 'node:assert/strict'
import { test } from 'node:test'
import { histogramSamples, writePrometheus } from './prometheus.ts'

test('metrics are written as the exposition format has them, with what is special in it escaped', () => {
  assert.equal(writePrometheus([
    { name: 'a_total', help: 'Two lines\nand a \\', type: 'counter', samples: [{ value: 3 }] },
    { name: 'b', help: 'b', type: 'gauge', samples: [{ labels: { x: 'say "hi"\n\\', y: '' }, value: 0.5 }, { labels: { x: '2' }, value: Infinity }] },
    { name: 'c', help: 'nothing yet', type: 'gauge', samples: [] }
  ]), `# HELP a_total Two lines\\nand a \\\\
# TYPE a_total counter
a_total 3
# HELP b b
# TYPE b gauge
b{x="say \\"hi\\"\\n\\\\",y=""} 0.5
b{x="2"} +Inf
`)
})

test('a histogram counts in each bucket what is below it too', () => {
  const samples = histogramSamples({ bounds: [0.5, 1], counts: [2, 0, 3], sum: 9.25 }, { format: 'raw' })
  assert.equal(writePrometheus([{ name: 'd_seconds', help: 'd', type: 'histogram', samples }]), `# HELP d_seconds d
# TYPE d_seconds histogram
d_seconds_bucket{format="raw",le="0.5"} 2
d_seconds_bucket{format="raw",le="1"} 2
d_seconds_bucket{format="raw",le="+Inf"} 5
d_seconds_sum{format="raw"} 9.25
d_seconds_count{format="raw"} 5
`)
})
