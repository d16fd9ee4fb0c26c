import { createApiClient } from '@holdfast/api/client'
import { HoldfastError, isHoldfastError } from '@holdfast/core/errors'
import { parseCommandArguments, splitCommandLine } from './arguments.ts'
import type { Command, CommandContext, FlagValues } from './command.ts'
import { findCommand } from './commands.ts'
import { type Environment, readEnvironment } from './environment.ts'
import { exitStatusOf, INTERRUPTED, UNFORESEEN } from './exit-status.ts'
import { commandHelp, programHelp } from './help.ts'
import { repositoryPath, socketPathOf } from './repository-path.ts'
import { printable, styled } from './terminal/format.ts'
import { noProgress, terminalProgress } from './terminal/progress.ts'

/** Runs the command line and sets the exit status of the process. */
export async function main (argv: readonly string[]): Promise<void> {
  const interrupt = new AbortController()
  const onInterrupt = (): void => {
    // The second Ctrl-C does not ask again.
    if (interrupt.signal.aborted) process.exit(INTERRUPTED)
    interrupt.abort(new HoldfastError('UNAVAILABLE', 'Interrupted', { reason: 'interrupted' }))
  }
  process.on('SIGINT', onInterrupt).on('SIGTERM', onInterrupt)
  // A reader that closes its end early, as `head` does, is no failure.
  process.stdout.on('error', (err: NodeJS.ErrnoException) => { process.exit(err.code === 'EPIPE' ? 0 : UNFORESEEN) })
  try {
    await runCommandLine(argv, interrupt.signal, readEnvironment())
  } catch (err) {
    report(err, interrupt.signal)
  } finally {
    // An input that nobody reads to its end would keep the process alive.
    if (isStdinUsed) process.stdin.destroy()
  }
}

/** Whether the command asked for standard input: opening it for nothing costs time, and holds the terminal. */
let isStdinUsed = false

async function runCommandLine (argv: readonly string[], signal: AbortSignal, environment: Environment): Promise<void> {
  const { before, words } = splitCommandLine(argv)
  const [first] = words
  if (before.includes('--version')) return printLine((await import('./version.ts')).VERSION)
  if (first === undefined || first === 'help') return await printHelp(words.slice(1), first === 'help' || before.includes('--help') || before.includes('-h'))

  const found = findCommand(words)
  if (found === undefined) throw unknownCommand(words)
  const command = await found.entry.load()
  const { args, flags } = parseCommandArguments(command, [...before, ...found.rest])
  if (flags.help === true) return printLine(commandHelp(command))
  await command.run(contextOf(flags, signal, environment), args, flags as FlagValues<Command['flags']>)
}

async function printHelp (words: readonly string[], wasAsked: boolean): Promise<void> {
  const found = findCommand(words)
  if (found !== undefined) return printLine(commandHelp(await found.entry.load()))
  if (words.length > 0) throw unknownCommand(words)
  if (wasAsked) return printLine(programHelp())
  process.stderr.write(`${programHelp()}\n`)
  throw new HoldfastError('INVALID', 'No command given')
}

function unknownCommand (words: readonly string[]): HoldfastError {
  const [first = ''] = words
  return new HoldfastError('INVALID', `There is no command ${JSON.stringify(first)}. All commands: holdfast --help`)
}

function contextOf (flags: Readonly<Record<string, unknown>>, signal: AbortSignal, environment: Environment): CommandContext {
  let isWeaklyStored = false
  const repository = repositoryPath(typeof flags.path === 'string' ? flags.path : undefined, environment.repository)
  return {
    repository,
    daemon: createApiClient(socketPathOf(repository, environment.runtimeFolder), {
      onWeaklyStoring: () => { isWeaklyStored = true },
      onWeaklyStored: () => { process.stderr.write('Stored as far as the operating system goes: a power cut may lose it (durability os)\n') }
    }),
    signal,
    isJson: flags.json === true,
    get isWeaklyStored () { return isWeaklyStored },
    print: printLine,
    write: writeOut,
    note: (line) => { process.stderr.write(`${line}\n`) },
    progress: (label) => process.stderr.isTTY ? terminalProgress(label, process.stderr) : noProgress,
    get stdin () {
      isStdinUsed = true
      return process.stdin
    },
    cwd: process.cwd()
  }
}

function printLine (line: string): void {
  process.stdout.write(`${line}\n`)
}

/** Waits until the bytes are gone: whoever gave them uses their memory again. A failure ends the process, see `main`. */
async function writeOut (bytes: Uint8Array): Promise<void> {
  await new Promise((resolve) => { process.stdout.write(bytes, resolve) })
}

function report (err: unknown, interrupt: AbortSignal): void {
  if (interrupt.aborted && (err === interrupt.reason || isAbort(err))) {
    process.exitCode = INTERRUPTED
    process.stderr.write('Interrupted\n')
    return
  }
  process.exitCode = exitStatusOf(err)
  const label = styled('red', 'Error:', process.stderr)
  if (isHoldfastError(err)) process.stderr.write(`${label} ${err.message.split('\n').map(printable).join('\n')}\n`)
  else process.stderr.write(`${label} ${err instanceof Error ? err.stack ?? err.message : String(err)}\n`)
}

function isAbort (err: unknown): boolean {
  return err instanceof Error && err.name === 'AbortError'
}
