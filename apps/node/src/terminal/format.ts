import { stripVTControlCharacters, styleText } from 'node:util'

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'] as const

/** Prints a number of bytes for people: `1.4 GiB`. */
export function formatBytes (byteLength: number): string {
  let value = byteLength
  let unit = 0
  while (value >= 1024 && unit < UNITS.length - 1) {
    value /= 1024
    unit++
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${UNITS[unit]}`
}

/** Prints a duration for people: `4 s`, `3 min 20 s`, `2 h 5 min`. */
export function formatSeconds (seconds: number): string {
  const whole = Math.max(0, Math.round(seconds))
  if (whole < 60) return `${whole} s`
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`
}

/**
 * Makes text from elsewhere safe to print on a terminal: escape sequences, control characters and
 * marks that reorder text become visible.
 *
 * @see CVE-2020-26283 for what happens otherwise
 */
export function printable (text: string): string {
  return stripVTControlCharacters(text).replace(UNPRINTABLE, (character) => `\\u{${character.codePointAt(0)?.toString(16)}}`)
}

// C0 and C1 controls, line and paragraph separators, and the bidirectional overrides of Unicode.
const UNPRINTABLE = /[\p{Cc}\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu

/** Lines up cells in columns, two spaces apart; the last column keeps its length. */
export function formatTable (rows: ReadonlyArray<readonly string[]>): string[] {
  const widths: number[] = []
  for (const row of rows) for (const [column, cell] of row.entries()) widths[column] = Math.max(widths[column] ?? 0, cell.length)
  return rows.map((row) => row.map((cell, column) => column === row.length - 1 ? cell : cell.padEnd(widths[column] ?? 0)).join('  '))
}

/** Emphasises text for a stream: nothing unless it is a terminal, and nothing with NO_COLOR. */
export function styled (style: 'bold' | 'dim' | 'red' | 'yellow' | 'green', text: string, stream: NodeJS.WriteStream): string {
  return styleText(style, text, { stream, validateStream: true })
}
