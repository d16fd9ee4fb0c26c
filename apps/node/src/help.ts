import { COMMON_FLAGS, type Command, type FlagDeclarations } from './command.ts'
import { COMMANDS } from './commands.ts'
import { formatTable } from './terminal/format.ts'

/** The help of the program: every command in a line. */
export function programHelp (): string {
  return [
    'Holdfast stores content by its CID, serves it and keeps it. It speaks IPFS.',
    '',
    'Usage: holdfast COMMAND [ARGUMENTS] [FLAGS]',
    '',
    'Commands:',
    ...formatTable(COMMANDS.map(({ name, summary }) => [`  ${name}`, summary])),
    '',
    'Flags of every command:',
    ...flagLines(COMMON_FLAGS),
    '',
    'More about one command: holdfast COMMAND --help',
    'First steps: holdfast start, then in another terminal: holdfast add FILE'
  ].join('\n')
}

/** The help of one command. */
export function commandHelp ({ usage, summary, details, flags }: Command): string {
  return [
    summary,
    '',
    `Usage: holdfast ${usage}`,
    ...(details === undefined ? [] : ['', details]),
    ...(Object.keys(flags).length === 0 ? [] : ['', 'Flags:', ...flagLines(flags)]),
    '',
    'Flags of every command:',
    ...flagLines(COMMON_FLAGS)
  ].join('\n')
}

function flagLines (flags: FlagDeclarations): string[] {
  return formatTable(Object.entries(flags).map(([name, { short, value, help }]) => [
    `  ${short === undefined ? '    ' : `-${short}, `}--${name}${value === undefined ? '' : ` ${value}`}`,
    help
  ]))
}
