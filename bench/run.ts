/**
 * The benchmark table: every row is a ratio taken in one run on one machine, against Helia from npm and against
 * what the machine can do at best. `npm run bench` runs all rows, `npm run bench -- add cat` those whose names contain a word.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { cpus, totalmem } from 'node:os'
import { join } from 'node:path'
import { toComparison } from './baselines.ts'
import { type Measurement, openBench } from './bench.ts'
import { type Row, toCostTable, toTable } from './measure.ts'
import { readOptions, USAGE } from './options.ts'
import { ADD_ROWS } from './rows/add.ts'
import { BLOCKSTORE_ROWS } from './rows/blockstore.ts'
import { CAR_ROWS } from './rows/car.ts'
import { CLUSTER_ROWS } from './rows/cluster.ts'
import { COLLECT_ROWS } from './rows/collect.ts'
import { DELAYED_ROWS } from './rows/delayed.ts'
import { FETCH_ROWS } from './rows/fetch.ts'
import { IDLE_ROWS } from './rows/idle.ts'
import { READ_ROWS } from './rows/read.ts'
import { ROUTING_ROWS } from './rows/routing.ts'
import { START_ROWS } from './rows/start.ts'

const MEASUREMENTS: readonly Measurement[] = [...ADD_ROWS, ...READ_ROWS, ...CAR_ROWS, ...START_ROWS, ...FETCH_ROWS, ...DELAYED_ROWS, ...ROUTING_ROWS, ...BLOCKSTORE_ROWS, ...COLLECT_ROWS, ...CLUSTER_ROWS, ...IDLE_ROWS]

const options = orExit(() => readOptions(process.argv.slice(2), process.env))
if (options === undefined) {
  console.log(`${USAGE}\n\nRows:\n${MEASUREMENTS.map(({ name }) => `  ${name}`).join('\n')}`)
  process.exit(0)
}
const chosen = orExit(() => choose(options.words))

const rows: Row[] = []
await using bench = await openBench(options, process.env)
for (const measurement of chosen) {
  const startedMs = performance.now()
  console.error(`▸ ${measurement.name}`)
  rows.push(...await measurement.run(bench))
  console.error(`  took ${((performance.now() - startedMs) / 1000).toFixed(0)} s`)
}

const results = join(import.meta.dirname, 'results')
const [cpu] = cpus()
const machine = { node: process.versions.node, cpu: cpu?.model.trim(), cores: cpus().length, memoryGiB: Math.round(totalmem() / 2 ** 30), date: new Date().toISOString().slice(0, 10) }
mkdirSync(results, { recursive: true })
writeFileSync(join(results, 'latest.json'), `${JSON.stringify({ machine, rounds: options.rounds, rows }, null, 2)}\n`)
console.log([toTable(rows), toCostTable(rows), ...options.isComparing ? [toComparison(rows, readFileSync(join(import.meta.dirname, 'baselines.json'), 'utf8'))] : []].filter((table) => table !== '').join('\n\n'))

function choose (words: readonly string[]): Measurement[] {
  const chosen = MEASUREMENTS.filter(({ name }) => words.length === 0 || words.some((word) => name.includes(word)))
  if (chosen.length === 0) throw new Error(`No row is called ${words.join(' or ')}; --list tells their names`)
  return chosen
}

/** What is wrong with a command line is said in a line, not in a stack. */
function orExit<T> (read: () => T): T {
  try {
    return read()
  } catch (err) {
    console.error(`${err instanceof Error ? err.message : String(err)}\n\n${USAGE}`)
    process.exit(2)
  }
}
