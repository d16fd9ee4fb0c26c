import type { Row } from './measure.ts'

/**
 * Sets each ratio beside the one that `baselines.json` holds, as a Markdown table.
 *
 * Ratios and not figures: those of another machine, or another hour, say little. A ratio is called changed when the intervals
 * of the two runs do not touch.
 */
export function toComparison (rows: readonly Row[], baselines: string): string {
  const before = (JSON.parse(baselines) as { rows: readonly Row[] }).rows
  const lines = rows.flatMap(({ name, ratios }) => ratios.map((now) => {
    const then = before.find((row) => row.name === name)?.ratios.find(({ against }) => against === now.against)
    return [name, now.against, then === undefined ? '–' : rangeOf(then), rangeOf(now), verdict(now, then)]
  }))
  return ['| work | against | ratio in baselines.json | ratio now | |', '| --- | --- | --- | --- | --- |', ...lines.map((cells) => `| ${cells.join(' | ')} |`)].join('\n')
}

function rangeOf ({ ratio, low, high }: Row['ratios'][number]): string {
  return `${ratio.toFixed(2)} (${low.toFixed(2)}–${high.toFixed(2)})`
}

function verdict (now: Row['ratios'][number], then: Row['ratios'][number] | undefined): string {
  if (then === undefined) return 'new'
  if (now.low > then.high) return 'higher'
  return now.high < then.low ? 'lower' : 'the same'
}
