import { HoldfastError } from '@holdfast/core/errors'
import { parseArgs } from 'node:util'
import { COMMON_FLAGS, type Command, type FlagDeclarations } from './command.ts'
import { parseDuration } from './parse-duration.ts'

/** What a command line says, checked against the flags of its command. */
export interface ParsedArguments {
  readonly args: readonly string[]
  readonly flags: Readonly<Record<string, boolean | string | string[] | undefined>>
}

/**
 * Splits what stands before the command's name from the rest: `--path DIR` and `--json` may stand on either side.
 *
 * @throws `INVALID` for a flag before the name that only a command knows.
 */
export function splitCommandLine (argv: readonly string[]): { before: string[], words: string[] } {
  const before: string[] = []
  const words = [...argv]
  while (words[0]?.startsWith('-') === true && words[0] !== '-' && words[0] !== '--') {
    const flag = words.shift() ?? ''
    before.push(flag)
    if (flag === '--path' && words.length > 0) before.push(words.shift() ?? '')
  }
  return { before, words }
}

/**
 * Reads the flags and arguments of a command. Boolean flags also take `--flag=true|false` and `--no-flag`.
 *
 * @throws `INVALID` naming what is wrong and how the command is used.
 */
export function parseCommandArguments ({ flags, usage }: Pick<Command, 'flags' | 'usage'>, words: readonly string[]): ParsedArguments {
  const declared: FlagDeclarations = { ...COMMON_FLAGS, ...flags }
  const options = Object.fromEntries(Object.entries(declared).map(([name, { type, short, multiple = false }]) => [name, { type, multiple, ...(short === undefined ? {} : { short }) }]))
  try {
    const { values, positionals } = parseArgs({ args: words.map((word) => negated(word, declared)), options, allowPositionals: true, allowNegative: true, strict: true })
    return { args: positionals, flags: Object.fromEntries(Object.entries(values).map(([name, value]) => [name, Array.isArray(value) ? value.map(String) : value])) }
  } catch (cause) {
    const [why = ''] = cause instanceof Error ? cause.message.split('. ') : [String(cause)]
    throw new HoldfastError('INVALID', `${why.replaceAll("'", '')}. Usage: holdfast ${usage}`, { cause })
  }
}

/** `--pin=false` becomes `--no-pin`, as people know it from `ipfs`. */
function negated (word: string, declared: FlagDeclarations): string {
  const match = /^--([a-z-]+)=(true|false)$/.exec(word)
  const name = match?.[1] ?? ''
  if (match === null || declared[name]?.type !== 'boolean') return word
  return match[2] === 'true' ? `--${name}` : `--no-${name}`
}

/** Returns the one argument that a command takes. @throws `INVALID` when there is none or more than one. */
export function onlyArgument (args: readonly string[], name: string): string {
  const [argument] = args
  if (argument === undefined) throw new HoldfastError('INVALID', `No ${name} given`)
  if (args.length > 1) throw new HoldfastError('INVALID', `One ${name} is enough: ${JSON.stringify(args[1])} is too many`)
  return argument
}

/** Reads a flag that is a whole number. @throws `INVALID` when it is something else. */
export function wholeNumber (name: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  if (!/^\d{1,15}$/.test(text)) throw new HoldfastError('INVALID', `--${name} must be a whole number, not ${JSON.stringify(text)}`)
  return Number(text)
}

/** Reads a flag that is a duration, in ms. @throws `INVALID` when it is something else. */
export function duration (name: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  const ms = parseDuration(text)
  if (ms === undefined || ms === 0) throw new HoldfastError('INVALID', `--${name} must be a duration such as 30s, 10min, 24h or 7d, not ${JSON.stringify(text)}`)
  return ms
}
