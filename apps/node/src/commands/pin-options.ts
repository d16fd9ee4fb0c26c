import type { ClusterPinArgs } from '@holdfast/api/client'
import { HoldfastError } from '@holdfast/core/errors'
import { duration, wholeNumber } from '../arguments.ts'
import type { CommandContext, FlagDeclarations, FlagValues } from '../command.ts'
import { parseDuration } from '../parse-duration.ts'
import { StatusView } from './status-view.ts'

/** Flags of commands that pin in the cluster. */
export const CLUSTER_FLAGS = {
  copies: { type: 'string', value: 'N|all', help: 'Have the members of the cluster keep N copies, or one each' },
  zone: { type: 'string', value: 'ZONE', multiple: true, help: 'With --copies: only on members of this zone; may be repeated' },
  meta: { type: 'string', value: 'KEY=VALUE', multiple: true, help: 'With --copies: keep this note with the pin; may be repeated' },
  expire: { type: 'string', value: 'WHEN', help: 'With --copies: until when the copies are kept, 30d or 2027-01-31' }
} as const satisfies FlagDeclarations

/** Flags of commands that can wait for copies. */
export const WAIT_FLAGS = {
  wait: { type: 'boolean', help: 'Wait for the least number of copies that --copies N asks for: half of N, rounded up; 1 for all' },
  'wait-for': { type: 'string', value: 'N', help: 'Wait for N copies' },
  timeout: { type: 'string', value: 'DURATION', help: 'How long to wait for copies [default: 10min]' }
} as const satisfies FlagDeclarations

/** Reads what is asked of the cluster. @throws `INVALID` */
export function clusterArgs ({ copies, zone, meta, expire }: FlagValues<typeof CLUSTER_FLAGS>): ClusterPinArgs {
  if (copies === undefined) {
    const surplus = Object.entries({ zone, meta, expire }).find(([, value]) => value !== undefined)
    if (surplus !== undefined) throw new HoldfastError('INVALID', `--${surplus[0]} is for copies in the cluster: say how many by --copies N`)
    return {}
  }
  return { copies: copiesIn(copies), zones: zone, meta: meta === undefined ? undefined : metaIn(meta), ...expire !== undefined && expiryIn(expire) }
}

function copiesIn (text: string): number | 'all' {
  if (text === 'all') return 'all'
  if (!/^[1-9]\d{0,14}$/.test(text)) throw new HoldfastError('INVALID', `--copies must be a number from 1 on, or all, not ${JSON.stringify(text)}`)
  return Number(text)
}

function metaIn (entries: readonly string[]): Record<string, string> {
  return Object.fromEntries(entries.map((entry) => {
    const at = entry.indexOf('=')
    if (at < 1) throw new HoldfastError('INVALID', `--meta must be KEY=VALUE, not ${JSON.stringify(entry)}`)
    return [entry.slice(0, at), entry.slice(at + 1)]
  }))
}

/** How long is counted by the node, whose clock may be another one than that of this command. */
function expiryIn (text: string): Pick<ClusterPinArgs, 'expireAtMs' | 'expireInMs'> {
  const ms = parseDuration(text)
  if (ms !== undefined && Number.isSafeInteger(ms) && ms > 0) return { expireInMs: ms }
  const atMs = /^\d{4}-\d\d-\d\d/.test(text) ? Date.parse(text) : NaN
  if (!Number.isSafeInteger(atMs)) throw new HoldfastError('INVALID', `--expire must be a duration such as 30d, or a date such as 2027-01-31T12:00Z, not ${JSON.stringify(text)}`)
  if (atMs <= Date.now()) throw new HoldfastError('INVALID', `--expire ${text} is over already`)
  return { expireAtMs: atMs }
}

/** How long to wait and for what; `undefined` when nobody asked to. */
export interface WaitArgs {
  readonly wait: true
  readonly waitFor?: number | undefined
  readonly timeoutMs?: number | undefined
}

/** Reads whether to wait for copies. @throws `INVALID` */
export function waitArgs (flags: FlagValues<typeof WAIT_FLAGS>): WaitArgs | undefined {
  const waitFor = wholeNumber('wait-for', flags['wait-for'])
  if (waitFor === 0) throw new HoldfastError('INVALID', '--wait-for must be 1 or more')
  const timeoutMs = duration('timeout', flags.timeout)
  if (flags.wait === true || waitFor !== undefined) return { wait: true, waitFor, timeoutMs }
  if (timeoutMs !== undefined) throw new HoldfastError('INVALID', '--timeout is for how long to wait: it goes with --wait')
  return undefined
}

/** Waits for the copies of pins, shows how it goes, and prints how they are in the end. */
export async function waitForPins (context: CommandContext, ids: readonly string[], wait: WaitArgs): Promise<void> {
  const view = new StatusView(context)
  for (const id of ids) await view.follow(context.daemon.call('pin-status', { id, ...wait }, context), wait)
}
