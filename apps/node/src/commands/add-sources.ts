import type { SourceArgs } from '@holdfast/api/client'
import { HoldfastError } from '@holdfast/core/errors'
import { open } from 'node:fs/promises'
import { resolve } from 'node:path'
import { wholeNumber } from '../arguments.ts'
import type { FlagDeclarations, FlagValues } from '../command.ts'

/** Flags of `add` that say what is read from the disk, and what is kept beside the content. */
export const ADD_SOURCE_FLAGS = {
  recursive: { type: 'boolean', short: 'r', help: 'Add directories with everything in them' },
  hidden: { type: 'boolean', short: 'H', help: 'Include entries whose name begins with a dot' },
  ignore: { type: 'string', multiple: true, value: 'RULE', help: 'Leave out entries by a rule as in .gitignore; may be given again' },
  'ignore-rules-path': { type: 'string', value: 'FILE', help: 'Leave out entries by the rules of this file' },
  'dereference-args': { type: 'boolean', help: 'Follow symlinks that are named on the command line' },
  'dereference-symlinks': { type: 'boolean', help: 'Follow all symlinks' },
  'preserve-mode': { type: 'boolean', help: 'Keep permission bits; no leaf is a raw block then' },
  'preserve-mtime': { type: 'boolean', help: 'Keep times of modification; no leaf is a raw block then' },
  mode: { type: 'string', value: 'OCTAL', help: 'Permission bits for everything that is added' },
  mtime: { type: 'string', value: 'SECONDS', help: 'Time of modification for everything that is added, since 1970' },
  'mtime-nsecs': { type: 'string', value: 'N', help: 'Nanoseconds on top of --mtime' },
  'ignore-errors': { type: 'boolean', help: 'Leave out what cannot be read, and say so at the end' }
} as const satisfies FlagDeclarations

/** Most bytes of a file of rules: what the node takes of them in all. */
const MAX_RULES_BYTES: number = 1024 * 1024

/** Reads these flags. @throws `INVALID` for values that are malformed, and whatever keeps the file of rules from being read. */
export async function sourceArgs (flags: FlagValues<typeof ADD_SOURCE_FLAGS>, cwd: string): Promise<SourceArgs> {
  const rulesPath = flags['ignore-rules-path']
  return {
    recursive: flags.recursive,
    hidden: flags.hidden,
    ignore: rulesPath === undefined ? flags.ignore : [...flags.ignore ?? [], await readRules(resolve(cwd, rulesPath))],
    dereference: flags['dereference-symlinks'] === true ? 'all' : flags['dereference-args'] === true ? 'path' : undefined,
    preserveMode: flags['preserve-mode'],
    preserveMtime: flags['preserve-mtime'],
    mode: octal(flags.mode),
    mtimeSeconds: seconds(flags.mtime),
    mtimeNanoseconds: wholeNumber('mtime-nsecs', flags['mtime-nsecs']),
    ignoreErrors: flags['ignore-errors']
  }
}

async function readRules (path: string): Promise<string> {
  try {
    await using file = await open(path)
    const { bytesRead, buffer } = await file.read(Buffer.alloc(MAX_RULES_BYTES + 1), 0, MAX_RULES_BYTES + 1, 0)
    if (bytesRead <= MAX_RULES_BYTES) return buffer.toString('utf8', 0, bytesRead)
  } catch (cause) {
    throw new HoldfastError('UNAVAILABLE', `Cannot read the rules in ${path}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause, path })
  }
  throw new HoldfastError('LIMIT', `The rules in ${path} are longer than ${MAX_RULES_BYTES} bytes`, { path })
}

function octal (text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  if (!/^(?:0o?)?[0-7]{1,4}$/.test(text)) throw new HoldfastError('INVALID', `--mode must be octal, such as 0644, not ${JSON.stringify(text)}`)
  return Number.parseInt(text.replace('o', ''), 8)
}

function seconds (text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  if (!/^-?\d{1,15}$/.test(text)) throw new HoldfastError('INVALID', `--mtime must be whole seconds since 1970, not ${JSON.stringify(text)}`)
  return Number(text)
}
