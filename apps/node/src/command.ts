import type { ApiClient } from '@holdfast/api/client'
import type { ProgressLine } from './terminal/progress.ts'

/** A flag as `parseArgs` of node:util reads it, with the words of its help. */
export interface FlagDeclaration {
  readonly type: 'boolean' | 'string'
  readonly short?: string
  /** What stands for the value in the help: `NAME`. */
  readonly value?: string
  readonly help: string
  readonly multiple?: boolean
}

/** Declared flags by their long name. */
export type FlagDeclarations = Readonly<Record<string, FlagDeclaration>>

type FlagValue<Flag extends FlagDeclaration> = Flag['type'] extends 'boolean' ? boolean : Flag['multiple'] extends true ? string[] : string

/** The values that a person gave, by the long name of the flag. */
export type FlagValues<Flags extends FlagDeclarations> = { readonly [Name in keyof Flags]?: FlagValue<Flags[Name]> }

/** Flags that every command takes. */
export const COMMON_FLAGS = {
  path: { type: 'string', value: 'DIR', help: 'Repository of the node [default: $HOLDFAST_PATH, else ~/.holdfast]' },
  json: { type: 'boolean', help: 'Print data as JSON, one value a line' },
  help: { type: 'boolean', short: 'h', help: 'Print this help' }
} as const satisfies FlagDeclarations

/** What a command works with; all of it can be replaced in a test. */
export interface CommandContext {
  /** Folder of the repository. */
  readonly repository: string
  /** The daemon of that repository; nothing is opened before it is used. */
  readonly daemon: ApiClient
  /** Aborted by Ctrl-C. */
  readonly signal: AbortSignal
  /** Whether data should be printed as JSON. */
  readonly isJson: boolean
  /** Whether what the daemon acknowledges now may be lost in a power cut. */
  readonly isWeaklyStored: boolean
  /** Prints a result: one line on standard output. */
  print(line: string): void
  /** Writes content to standard output; resolves when it is written and its memory may be used again. */
  write(bytes: Uint8Array): Promise<void>
  /** Tells a person something that is not the result: one line on standard error. */
  note(line: string): void
  /** Opens a progress line on a terminal; elsewhere it shows nothing. */
  progress(label: string): ProgressLine
  /** Standard input. */
  readonly stdin: AsyncIterable<Uint8Array>
  readonly cwd: string
}

/** What was stored as JSON; it says so when a power cut may lose it. */
export function storedJson (stored: object, { isWeaklyStored }: Pick<CommandContext, 'isWeaklyStored'>): string {
  return JSON.stringify(isWeaklyStored ? { ...stored, durability: 'os' } : stored)
}

/** One command: its help, its flags and what it does. */
export interface Command<Flags extends FlagDeclarations = FlagDeclarations> {
  /** Words after `holdfast`, arguments in capitals: `pin add CID [--name NAME]`. */
  readonly usage: string
  readonly summary: string
  /** More lines of help, if the summary does not say all. */
  readonly details?: string
  readonly flags: Flags
  /** Does the work. A failure is thrown; the exit status follows from it. */
  run(context: CommandContext, args: readonly string[], flags: FlagValues<Flags>): Promise<void>
}

/** Declares a command; only the types do something. */
export function command<const Flags extends FlagDeclarations> (declaration: Command<Flags>): Command<Flags> {
  return declaration
}
