import type { Answer, PinStatusEvent } from '@holdfast/api/client'
import type { CommandContext } from '../command.ts'
import { formatBytes, formatSeconds, formatTable, printable } from '../terminal/format.ts'

/** Prints how the copies of pins are. */
export class StatusView {
  readonly #context: CommandContext

  constructor (context: CommandContext) {
    this.#context = context
  }

  /**
   * Shows each status on the progress line, and prints the last; also when the wait for it failed.
   *
   * @param options.waitFor Copies that were waited for. @default the least that the pin asks for
   */
  async follow (answers: AsyncIterable<Answer<'pin-status'>>, { waitFor }: { readonly waitFor?: number | undefined } = {}): Promise<void> {
    let last: PinStatusEvent | undefined
    try {
      using line = this.#context.progress('Waiting')
      for await (const answer of answers) {
        if (answer.type !== 'event') continue
        last = answer.event.status
        line.update({ phase: progressWords(last) })
      }
    } finally {
      if (last !== undefined) this.print(last)
    }
    const { note, isJson } = this.#context
    if (last !== undefined && waitFor === undefined && !isJson) for (const line of waitedWords(last)) note(line)
  }

  print (status: PinStatusEvent): void {
    const { print, isJson } = this.#context
    if (isJson) return print(JSON.stringify(status))
    for (const line of statusLines(status)) print(line)
  }
}

/** What was waited for, when that is not all; exported for its test. */
export function waitedWords ({ cid, countedCount, copies: { min, max } }: PinStatusEvent): string[] {
  if (countedCount < min || countedCount >= max) return []
  return [`Waited for ${min} of ${max} copies of ${cid}: --wait waits for half of them at least, --wait-for ${max} for all`]
}

/** One line for a pin, and one for each member that has to do with it; exported for its test. */
export function statusLines (status: PinStatusEvent, nowMs: number = Date.now()): string[] {
  const { cid, kind, name, id, holders, missing } = status
  const title = [cid, kind, ...name === undefined ? [] : [printable(name)]].join('  ')
  const counts = [`copies ${copyWords(status)}`, `zones ${status.zoneCount}`, ...verifiedWords(status, nowMs)].join(', ')
  return [
    title,
    `  ${counts}${missing === undefined ? '' : `: ${printable(missing)}`}`,
    `  id ${id}${expiryWords(status)}`,
    ...formatTable(holders.map((holder) => holderCells(holder, nowMs)))
  ]
}

/** The same on one line, for lists. */
export function statusCells (status: PinStatusEvent): string[] {
  return [status.cid, status.kind, status.state, `copies ${copyWords(status)}`, `zones ${status.zoneCount}`, [...status.name === undefined ? [] : [printable(status.name)], ...status.missing === undefined ? [] : [printable(status.missing)]].join('  ')]
}

function copyWords ({ countedCount, copies: { max } }: PinStatusEvent): string {
  return `${countedCount}/${max}`
}

/** Of the copies that count, the one whose verification is longest ago. */
function verifiedWords ({ holders }: PinStatusEvent, nowMs: number): string[] {
  const times = holders.flatMap(({ isCounted, verifiedAtMs }) => isCounted && verifiedAtMs !== undefined ? [verifiedAtMs] : [])
  return times.length === 0 ? [] : [`verified ${agoWords(Math.min(...times), nowMs)}`]
}

function expiryWords ({ expireAtMs, zones, meta }: PinStatusEvent): string {
  const parts = [
    ...expireAtMs === undefined ? [] : [`until ${new Date(expireAtMs).toISOString()}`],
    ...zones === undefined ? [] : [`zones ${zones.map(printable).join(', ')}`],
    ...Object.entries(meta).map(([key, value]) => printable(`${key}=${value}`))
  ]
  return parts.map((part) => `  ${part}`).join('')
}

type Holder = PinStatusEvent['holders'][number]

function holderCells (holder: Holder, nowMs: number): string[] {
  const { peer, name, zone, byteLength } = holder
  return ['  ' + peer, printable(name ?? '-'), zone === undefined ? '-' : `zone ${printable(zone)}`, byteLength === 0 ? '-' : formatBytes(byteLength), holderWords(holder, nowMs)]
}

function holderWords ({ state, isCounted, verifiedAtMs, percent, bytesPerSecond, why }: Holder, nowMs: number): string {
  const words = [
    `${state}${percent === undefined ? '' : ` ${Math.floor(percent)} %`}${bytesPerSecond === undefined ? '' : `, ${formatBytes(bytesPerSecond)}/s`}`,
    ...verifiedAtMs === undefined ? [] : [agoWords(verifiedAtMs, nowMs)]
  ].join(' ')
  const doubt = state === 'verified' && !isCounted ? ', does not count' : ''
  return `${words}${doubt}${why === undefined ? '' : `: ${printable(why)}`}`
}

function agoWords (atMs: number, nowMs: number): string {
  const seconds = Math.max(0, Math.round((nowMs - atMs) / 1000))
  if (seconds < 60) return `${seconds} s ago`
  // Beyond that nobody counts seconds.
  return seconds < 3600 ? `${Math.floor(seconds / 60)} min ago` : `${formatSeconds(seconds)} ago`
}

function progressWords (status: PinStatusEvent): string {
  const fetching = status.holders.filter(({ state }) => state === 'fetching')
  const rate = fetching.reduce((sum, { bytesPerSecond = 0 }) => sum + bytesPerSecond, 0)
  return [`copies ${copyWords(status)}`, ...fetching.map(({ name, peer, percent = 0 }) => `${printable(name ?? peer.slice(-6))} ${Math.floor(percent)} %`), ...rate > 0 ? [`${formatBytes(rate)}/s`] : []].join(', ')
}
