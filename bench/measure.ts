/** One measured quantity of one subject, over all rounds. */
export interface Sample {
  readonly subject: string
  readonly values: readonly number[]
}

/** A row of the table: what was done, and how our figure compares with the others of the same run. */
export interface Row {
  readonly name: string
  /** Unit of the figures; for seconds less is better. */
  readonly unit: 'MiB/s' | 'files/s' | 'requests/s' | 'ms'
  readonly ours: number
  readonly ratios: ReadonlyArray<{ readonly against: string, readonly theirs: number, readonly ratio: number, readonly low: number, readonly high: number }>
  readonly note?: string
}

/** A way to do the work; returns its figure in the unit of the row. */
export interface Subject {
  readonly name: string
  /** Fewer rounds for what takes minutes. @default all */
  readonly rounds?: number
  run(): Promise<number>
}

/**
 * Runs the subjects in turn, forwards and backwards (ABBA), so that a machine that gets slower is slower for all,
 * and compares the first, ours, with each of the others.
 */
export async function compare (name: string, unit: Row['unit'], subjects: readonly Subject[], rounds: number, note?: string): Promise<Row> {
  const values = new Map<string, number[]>(subjects.map((subject) => [subject.name, []]))
  for (let round = 0; round < rounds; round++) {
    for (const subject of round % 2 === 0 ? subjects : subjects.toReversed()) {
      const measured = values.get(subject.name) ?? []
      if (measured.length >= (subject.rounds ?? rounds)) continue
      measured.push(await subject.run())
      console.error(`  ${name}: ${subject.name} ${format(measured.at(-1) ?? 0)} ${unit}`)
    }
  }
  const [ours, ...others] = subjects.map((subject) => ({ subject: subject.name, values: values.get(subject.name) ?? [] }))
  if (ours === undefined) throw new Error('A row needs a subject')
  const row = { name, unit, ours: median(ours.values), ratios: others.map((theirs) => ratioOf(ours, theirs)) }
  return note === undefined ? row : { ...row, note }
}

function ratioOf (ours: Sample, theirs: Sample): Row['ratios'][number] {
  const { low, high } = bootstrap(ours.values, theirs.values)
  return { against: theirs.subject, theirs: median(theirs.values), ratio: median(ours.values) / median(theirs.values), low, high }
}

/** 95 % confidence interval of the ratio of two medians, by resampling with a fixed seed. */
function bootstrap (ours: readonly number[], theirs: readonly number[]): { low: number, high: number } {
  const random = mulberry32(1)
  const draw = (values: readonly number[]): number => median(values.map(() => values[Math.floor(random() * values.length)] ?? 0))
  const ratios = Array.from({ length: 2000 }, () => draw(ours) / draw(theirs)).toSorted((a, b) => a - b)
  return { low: ratios[50] ?? 0, high: ratios[1949] ?? 0 }
}

/** Tommy Ettinger's mulberry32: a small generator whose runs can be repeated. */
function mulberry32 (seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
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

function format (value: number): string {
  return value >= 100 ? value.toFixed(0) : value.toFixed(1)
}

/** Seconds that some work took. */
export async function secondsOf (work: () => Promise<unknown>): Promise<number> {
  const startedMs = performance.now()
  await work()
  return (performance.now() - startedMs) / 1000
}
