import { HoldfastError } from '@holdfast/core'
import { join } from 'node:path'
import type { SegmentKind } from './segment-format.ts'

/** Highest number of a segment: eight digits, so that names sort as the numbers do. */
export const MAX_SEGMENT_NUMBER = 99_999_999

const EXTENSIONS: Readonly<Record<SegmentKind, string>> = { log: '.log', snapshot: '.snapshot' }

/** A snapshot under such a name is being written, or was when a crash came: it does not count. */
const UNFINISHED = '.tmp'
const UNFINISHED_NAME = /^\d{8}\.snapshot\.tmp$/

/** A segment that is whole. */
export interface Segment {
  readonly kind: SegmentKind
  readonly number: number
  readonly byteLength: number
}

/** The files of a journal folder. */
export interface JournalLayout {
  /** Number of the newest snapshot; it replaces the logs up to this number. */
  readonly snapshot: number | undefined
  /** Numbers of the logs after it, rising by one. */
  readonly logs: readonly number[]
  /** Names of the files that the snapshot replaces, and of snapshots that were never finished. */
  readonly obsolete: readonly string[]
}

/** Name of a segment file: `00000001.log`. @throws `LIMIT` above `MAX_SEGMENT_NUMBER`. */
export function segmentName (kind: SegmentKind, number: number): string {
  if (number > MAX_SEGMENT_NUMBER) throw new HoldfastError('LIMIT', `Journal has used up its ${MAX_SEGMENT_NUMBER} segment numbers`)
  return `${String(number).padStart(8, '0')}${EXTENSIONS[kind]}`
}

/** Name of the snapshot with this number until it is whole and durable. */
export function unfinishedName (number: number): string {
  return `${segmentName('snapshot', number)}${UNFINISHED}`
}

/**
 * Tells the files that count from those that do not, by name alone; foreign names are left alone.
 *
 * @throws `CORRUPT` naming the file when one that must be there is missing.
 */
export function layoutOf (folder: string, names: readonly string[]): JournalLayout {
  const snapshots = numbersOf(names, 'snapshot')
  const snapshot = snapshots.at(-1)
  const all = numbersOf(names, 'log')
  const logs = all.filter((number) => number > (snapshot ?? 0))
  requireUnbroken(folder, snapshot, logs)
  return {
    snapshot,
    logs,
    obsolete: [
      ...names.filter((name) => UNFINISHED_NAME.test(name)),
      ...snapshots.slice(0, -1).map((number) => segmentName('snapshot', number)),
      ...all.filter((number) => number <= (snapshot ?? 0)).map((number) => segmentName('log', number))
    ]
  }
}

function numbersOf (names: readonly string[], kind: SegmentKind): number[] {
  const numbers = names.map((name) => Number.parseInt(name, 10)).filter((number) => number >= 1 && number <= MAX_SEGMENT_NUMBER)
  const present = new Set(names)
  return [...new Set(numbers)].filter((number) => present.has(segmentName(kind, number))).sort((a, b) => a - b)
}

/** A snapshot is made durable only after the log that follows it, and a log only after the one before. */
function requireUnbroken (folder: string, snapshot: number | undefined, logs: readonly number[]): void {
  const first = (snapshot ?? 0) + 1
  const expected = Math.max(logs.length, snapshot === undefined ? 0 : 1)
  for (let index = 0; index < expected; index++) {
    if (logs[index] === first + index) continue
    const path = join(folder, segmentName('log', first + index))
    throw new HoldfastError('CORRUPT', `Journal segment ${path} is missing: restore it from a copy; nothing was changed`, { path })
  }
}
