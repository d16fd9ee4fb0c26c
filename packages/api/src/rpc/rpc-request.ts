import { HoldfastError } from '@holdfast/core'
import type { OptionDeclarations, RpcCommand } from './rpc-command.ts'

/** Options that every command takes, beside its own. Those of Kubo that change nothing here are taken and passed over. */
const GLOBAL_OPTIONS = {
  timeout: ['string'],
  offline: ['bool'],
  encoding: ['string', 'enc'],
  'stream-channels': ['bool'],
  'cid-base': ['string'],
  'upgrade-cidv0-in-output': ['bool']
} as const satisfies OptionDeclarations

/** Longest `timeout` in milliseconds that a timer can wait: 24 days. */
const MAX_TIMEOUT_MS: number = 2 ** 31 - 1

/** Most `arg=` of one request; the request line bounds them too. */
const MAX_ARGS = 1024

/** What the query of a request says. */
export interface RpcQuery {
  readonly args: readonly string[]
  readonly options: Readonly<Record<string, boolean | number | string>>
  readonly timeoutMs?: number
  readonly isOffline: boolean
}

/**
 * Reads the query of a request against what its command takes, by Kubo's rules: options that nobody knows are passed over,
 * one that is known may come only once, arguments keep their order.
 *
 * @throws `INVALID` that becomes 400 in plain text.
 * @see go-ipfs-cmds http/parse.go
 */
export function parseQuery (query: string, command: RpcCommand): RpcQuery {
  const declared: OptionDeclarations = { ...GLOBAL_OPTIONS, ...command.options }
  const args: string[] = []
  const options: Record<string, boolean | number | string> = {}
  for (const [key, value] of new URLSearchParams(query)) {
    if (key === 'arg') {
      args.push(value)
      continue
    }
    const known = Object.entries(declared).find(([name, [, ...aliases]]) => name === key || aliases.includes(key))
    if (known === undefined) continue
    const [name, [type]] = known
    if (Object.hasOwn(options, name)) throw badRequest(`Option ${name} may be given only once`)
    options[name] = parseValue(name, type, value)
  }
  requireArguments(args, command)
  return { args, options, isOffline: options.offline === true, ...globalsOf(options) }
}

function parseValue (name: string, type: 'bool' | 'int' | 'string', text: string): boolean | number | string {
  switch (type) {
    case 'string': return text
    case 'bool':
      if (/^(|1|t|true)$/i.test(text)) return true
      if (/^(0|f|false)$/i.test(text)) return false
      throw badRequest(`Option ${name} must be true or false, not ${JSON.stringify(text.slice(0, 100))}`)
    case 'int':
      if (/^-?\d{1,15}$/.test(text)) return Number(text)
      throw badRequest(`Option ${name} must be a whole number, not ${JSON.stringify(text.slice(0, 100))}`)
  }
}

function requireArguments (args: readonly string[], { args: taken = { names: [] } }: RpcCommand): void {
  const { names, required = names.length, repeats = false } = taken
  const missing = names[args.length]
  if (args.length < required && missing !== undefined) throw badRequest(`argument "${missing}" is required`)
  if (args.length > (repeats ? MAX_ARGS : names.length)) throw badRequest(`At most ${repeats ? MAX_ARGS : names.length} arguments are taken, not ${args.length}`)
}

function globalsOf ({ timeout, encoding = 'json', 'cid-base': base = 'base32' }: Readonly<Record<string, unknown>>): Pick<RpcQuery, 'timeoutMs'> {
  if (encoding !== 'json') throw badRequest(`invalid encoding: ${String(encoding).slice(0, 100)}`)
  if (base !== 'base32') throw badRequest('CIDs are written in base32 only')
  return timeout === undefined ? {} : { timeoutMs: parseDuration(String(timeout)) }
}

const UNITS_MS: Readonly<Record<string, number>> = { ns: 1e-6, us: 1e-3, 'µs': 1e-3, ms: 1, s: 1000, m: 60_000, h: 3_600_000 }

/** Reads a duration as Go writes it: `1h30m`, `1.5s`, `300ms`. @throws `INVALID` that becomes 400. */
export function parseDuration (text: string): number {
  if (!/^(\d{1,15}(\.\d{1,9})?(ns|us|µs|ms|s|m|h)){1,8}$/.test(text)) throw badRequest(`${JSON.stringify(text.slice(0, 100))} is not a duration such as 30s or 1m30s`)
  const parts = text.matchAll(/(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)/g)
  return Math.min(MAX_TIMEOUT_MS, Math.ceil(parts.reduce((sum, [, count, unit = '']) => sum + Number(count) * (UNITS_MS[unit] ?? 0), 0)))
}

/** What a command finds wrong with what it was asked: 400 in JSON, as every failure of a command. */
export function callerMistake (message: string): HoldfastError {
  return new HoldfastError('INVALID', message)
}

/** A request that is not of the form of this command: 400 in plain text. */
export function badRequest (message: string): HoldfastError {
  return new HoldfastError('INVALID', message, { refusal: { status: 400 } })
}
