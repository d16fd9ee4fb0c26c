import { HoldfastError } from '@holdfast/core/errors'

const MS_IN_UNIT: Readonly<Record<string, number>> = { ms: 1, s: 1000, min: 60_000, m: 60_000, h: 3_600_000, d: 86_400_000 }

/** Reads a duration with its unit, in ms: `30min`, `24h`, `7d`, `1500ms`; `undefined` for anything else. */
export function parseDuration (text: string): number | undefined {
  const [, digits = '', unit = ''] = /^(\d{1,10}) ?([a-z]+)$/.exec(text) ?? []
  const factor = Object.hasOwn(MS_IN_UNIT, unit) ? MS_IN_UNIT[unit] : undefined
  return digits === '' || factor === undefined ? undefined : Number(digits) * factor
}

/** The same for text that must be one. @throws `INVALID` */
export function requireDuration (text: string): number {
  const ms = parseDuration(text)
  if (ms === undefined) throw new HoldfastError('INVALID', `${JSON.stringify(text)} is not a duration such as 30s, 10min, 24h or 7d`)
  return ms
}
