import { seededRandom } from '@holdfast/testkit'

/** One figure of a subject and, where they are known, the costs beside it. */
export interface Figure extends Cost {
  readonly value: number
}

/** What a figure took. */
export interface Cost {
  /** Of all ends together, while the work ran. */
  readonly cpuSeconds?: number
  /** The most that the end which does the work held in memory. */
  readonly rssMib?: number
}

/** One measured quantity of one subject, over all rounds. */
interface Sample {
  readonly subject: string
  readonly values: readonly number[]
  readonly cost: Cost
}

/** A row of the table: what was done, and how our figure compares with the others of the same run. */
export interface Row {
  readonly name: string
  /** Unit of the figures; of all but the rates less is better. */
  readonly unit: 'MiB/s' | 'files/s' | 'requests/s' | 'pins/s' | 'answers/s' | 'blocks/s' | 's' | 'ms' | '% of a core' | 'MiB' | 'B/block'
  readonly ours: number
  readonly ratios: ReadonlyArray<{ readonly against: string, readonly theirs: number, readonly ratio: number, readonly low: number, readonly high: number }>
  readonly note?: string
  /** Medians of the subjects whose costs are known. */
  readonly costs?: Readonly<Record<string, Cost>>
}

/** A way to do the work; returns its figure in the unit of the row. */
export interface Subject {
  readonly name: string
  /** Fewer rounds for what takes minutes. @default all */
  readonly rounds?: number
  run(): Promise<number | Figure>
}

/**
 * Runs the subjects in turn, forwards and backwards (ABBA), so that a machine that gets slower is slower for all,
 * and compares the first, ours, with each of the others.
 */
export async function compare (name: string, unit: Row['unit'], subjects: readonly Subject[], rounds: number, note?: string): Promise<Row> {
  const figures = new Map<string, Figure[]>(subjects.map((subject) => [subject.name, []]))
  for (let round = 0; round < rounds; round++) {
    for (const subject of round % 2 === 0 ? subjects : subjects.toReversed()) {
      const measured = figures.get(subject.name) ?? []
      if (measured.length >= (subject.rounds ?? rounds)) continue
      const result = await subject.run()
      const figure = typeof result === 'number' ? { value: result } : result
      measured.push(figure)
      console.error(`  ${name}: ${subject.name} ${format(figure.value)} ${unit}${formatCost(figure)}`)
    }
  }
  return rowOf({ name, unit, ...(note === undefined ? {} : { note }) }, [...figures].map(([subject, measured]) => sampleOf(subject, measured)))
}

/** Makes a row of figures that were taken together, the first one ours. */
export function rowOf (row: Pick<Row, 'name' | 'unit' | 'note'>, samples: readonly Sample[]): Row {
  const [ours, ...others] = samples
  if (ours === undefined) throw new Error('A row needs a subject')
  const costs = Object.fromEntries(samples.filter(({ cost }) => Object.keys(cost).length > 0).map(({ subject, cost }) => [subject, cost]))
  return { ...row, ours: median(ours.values), ratios: others.map((theirs) => ratioOf(ours, theirs)), ...(Object.keys(costs).length > 0 ? { costs } : {}) }
}

export function sampleOf (subject: string, figures: readonly Figure[]): Sample {
  const medianOf = (name: keyof Cost): Cost => {
    const values = figures.map((figure) => figure[name]).filter((value) => value !== undefined)
    return values.length === 0 ? {} : { [name]: median(values) }
  }
  return { subject, values: figures.map(({ value }) => value), cost: { ...medianOf('cpuSeconds'), ...medianOf('rssMib') } }
}

function ratioOf (ours: Sample, theirs: Sample): Row['ratios'][number] {
  const { low, high } = bootstrap(ours.values, theirs.values)
  return { against: theirs.subject, theirs: median(theirs.values), ratio: median(ours.values) / median(theirs.values), low, high }
}

/** 95 % confidence interval of the ratio of two medians, by resampling with a fixed seed. */
function bootstrap (ours: readonly number[], theirs: readonly number[]): { low: number, high: number } {
  const random = seededRandom(1)
  const draw = (values: readonly number[]): number => median(values.map(() => values[Math.floor(random() * values.length)] ?? 0))
  const ratios = Array.from({ length: 2000 }, () => draw(ours) / draw(theirs)).toSorted((a, b) => a - b)
  return { low: ratios[50] ?? 0, high: ratios[1949] ?? 0 }
}

/** The middle value; the mean of the two in the middle of an even number. */
export function median (values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const half = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[half] ?? NaN : ((sorted[half - 1] ?? NaN) + (sorted[half] ?? NaN)) / 2
}

/** Prints the rows as a Markdown table. */
export function toTable (rows: readonly Row[]): string {
  const lines = rows.flatMap(({ name, unit, ours, ratios, note }) => ratios.map(({ against, theirs, ratio, low, high }, index) => [
    index === 0 ? `${name}${note === undefined ? '' : ` (${note})`}` : '', index === 0 ? `${format(ours)} ${unit}` : '', against, `${format(theirs)} ${unit}`, `${ratio.toFixed(2)} (${low.toFixed(2)}–${high.toFixed(2)})`
  ]))
  return ['| work | Holdfast | against | figure | ratio (95 %) |', '| --- | --- | --- | --- | --- |', ...lines.map((cells) => `| ${cells.join(' | ')} |`)].join('\n')
}

/** Prints what the figures took, where that is known; an empty string when nothing is. */
export function toCostTable (rows: readonly Row[]): string {
  const lines = rows.flatMap(({ name, costs = {} }) => Object.entries(costs).map(([subject, { cpuSeconds, rssMib }]) => [
    name, subject, cpuSeconds === undefined ? '–' : `${cpuSeconds.toFixed(2)} s`, rssMib === undefined ? '–' : `${rssMib.toFixed(0)} MiB`
  ]))
  if (lines.length === 0) return ''
  return ['| work | subject | CPU of both ends | RSS of the end that fetches |', '| --- | --- | --- | --- |', ...lines.map((cells) => `| ${cells.join(' | ')} |`)].join('\n')
}

function formatCost ({ cpuSeconds, rssMib }: Cost): string {
  return `${cpuSeconds === undefined ? '' : `, ${cpuSeconds.toFixed(1)} s CPU`}${rssMib === undefined ? '' : `, ${rssMib.toFixed(0)} MiB`}`
}

function format (value: number): string {
  return value >= 100 ? value.toFixed(0) : value >= 1 ? value.toFixed(1) : value.toFixed(2)
}

/** Seconds that some work took. */
export async function secondsOf (work: () => Promise<unknown>): Promise<number> {
  const startedMs = performance.now()
  await work()
  return (performance.now() - startedMs) / 1000
}
