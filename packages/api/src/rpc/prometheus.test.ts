import assert from 'node:assert/strict'
import { test } from 'node:test'
import { writePrometheus } from './prometheus.ts'

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
