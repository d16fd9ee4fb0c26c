import type { AddArgs, EntryEvent, RecipeArgs } from '@holdfast/api/client'
import { HoldfastError } from '@holdfast/core/errors'
import { resolve } from 'node:path'
import { wholeNumber } from '../arguments.ts'
import { command, type CommandContext, type FlagValues } from '../command.ts'
import { printable } from '../terminal/format.ts'
import { CLUSTER_FLAGS, clusterArgs, WAIT_FLAGS, waitArgs, waitForPins } from './pin-options.ts'

const FLAGS = {
  recursive: { type: 'boolean', short: 'r', help: 'Add directories with everything in them' },
  quiet: { type: 'boolean', short: 'q', help: 'Print CIDs only' },
  quieter: { type: 'boolean', short: 'Q', help: 'Print the CID of the last root only' },
  name: { type: 'string', value: 'NAME', help: 'Name of the pin' },
  ...CLUSTER_FLAGS,
  ...WAIT_FLAGS,
  'stdin-name': { type: 'string', value: 'NAME', help: 'Name of standard input in the directory that -w makes' },
  profile: { type: 'string', value: 'NAME', help: 'Recipe of the CID: unixfs-v1-2025 or unixfs-v0-2015 [default: unixfs-v1-2025]' },
  'only-hash': { type: 'boolean', short: 'n', help: 'Compute CIDs and store nothing; needs no running node' },
  pin: { type: 'boolean', help: 'Keep what was added; --no-pin leaves it to the next gc [default: true]' },
  hidden: { type: 'boolean', short: 'H', help: 'Include entries whose name begins with a dot' },
  'wrap-with-directory': { type: 'boolean', short: 'w', help: 'Put what is added into a directory of its own' },
  'empty-dirs': { type: 'boolean', short: 'E', help: 'Include empty directories [default: true]' },
  chunker: { type: 'string', short: 's', value: 'size-N', help: 'Cut files into chunks of N bytes' },
  'cid-version': { type: 'string', value: 'N', help: 'Version of the CIDs, 0 or 1' },
  'raw-leaves': { type: 'boolean', help: 'Store chunks as raw blocks' },
  hash: { type: 'string', value: 'NAME', help: 'Hash function: sha2-256, blake3, …' },
  'max-file-links': { type: 'string', value: 'N', help: 'Most links of an inner node of a file' },
  progress: { type: 'boolean', short: 'p', help: 'Show progress on a terminal [default: true]' }
} as const

type Flags = FlagValues<typeof FLAGS>

export const add = command({
  usage: 'add FILE|DIR|-… [FLAGS]',
  summary: 'Store files and print their CIDs',
  details: 'The running node reads the files itself. `-` or no argument reads standard input.\nThe CIDs are those that Kubo and Helia give for the same profile.',
  flags: FLAGS,

  async run (context, args, flags) {
    const printer = new EntryPrinter(context, flags)
    const paths = args.filter((arg) => arg !== '-')
    const isStdin = paths.length < args.length || args.length === 0
    if (isStdin && paths.length > 0) throw new HoldfastError('INVALID', 'Standard input cannot be added together with files')
    if (flags.pin === false && flags.name !== undefined) throw new HoldfastError('INVALID', 'A name is a name of the pin: it cannot go with --no-pin')
    const wanted = clusterArgs(flags)
    const wait = waitArgs(flags)
    if (wanted.copies !== undefined && (flags.pin === false || flags['only-hash'] === true)) throw new HoldfastError('INVALID', `Copies are of a pin: --copies cannot go with ${flags.pin === false ? '--no-pin' : '--only-hash'}`)
    if (wanted.copies === undefined && wait !== undefined) throw new HoldfastError('INVALID', '--wait is for copies in the cluster: say how many by --copies N')

    const request: AddArgs = { ...recipeArgs(flags), ...wanted, ...sourceArgs(flags), paths: paths.map((path) => resolve(context.cwd, path)), pin: flags.pin, name: flags.name }
    const ids: string[] = []
    if (flags['only-hash'] === true) await computeOnly(context, request, printer)
    else ids.push(...await addByDaemon(context, request, printer, flags))
    printer.finish()
    if (wait !== undefined) await waitForPins(context, ids, wait)
  }
})

function recipeArgs (flags: Flags): RecipeArgs {
  return {
    profile: flags.profile,
    cidVersion: wholeNumber('cid-version', flags['cid-version']),
    hash: flags.hash,
    rawLeaves: flags['raw-leaves'],
    chunker: flags.chunker,
    maxFileLinks: wholeNumber('max-file-links', flags['max-file-links'])
  }
}

function sourceArgs (flags: Flags): Pick<AddArgs, 'recursive' | 'hidden' | 'wrap' | 'emptyDirectories' | 'stdinName'> {
  return { recursive: flags.recursive, hidden: flags.hidden, wrap: flags['wrap-with-directory'], emptyDirectories: flags['empty-dirs'], stdinName: flags['stdin-name'] }
}

async function addByDaemon (context: CommandContext, request: AddArgs, printer: EntryPrinter, { progress }: Flags): Promise<string[]> {
  const { daemon, stdin, signal } = context
  const ids: string[] = []
  using line = progress === false ? undefined : context.progress('Adding')
  const body = request.paths.length === 0 ? stdin : undefined
  for await (const answer of daemon.call('add', request, { body, signal })) {
    if (answer.type !== 'event') continue
    const { event } = answer
    if ('progress' in event) line?.update(event.progress)
    else if ('entry' in event) printer.print(event.entry, event.isRoot, line)
    else if ('pin' in event && event.pin.cluster !== undefined) ids.push(event.pin.cluster.id)
  }
  return ids
}

/** `--only-hash` reads the files in this process; the same code as in the daemon, and nothing is stored. */
async function computeOnly (context: CommandContext, request: AddArgs, printer: EntryPrinter): Promise<void> {
  const { discardingWriter, importSources, openDiskSource, recipeOf } = await import('@holdfast/dag')
  const { paths, stdinName = '', recursive } = request
  using line = context.progress('Hashing')
  const sources = await Promise.all(paths.map(async (path) => await openDiskSource(path, request)))
  const directory = sources.findIndex(({ kind }) => kind === 'directory')
  if (directory >= 0 && recursive !== true) throw new HoldfastError('INVALID', `Cannot add ${paths[directory]}: it is a directory. Add it with everything in it by -r`)
  const all = paths.length === 0 ? [{ kind: 'file', name: Buffer.from(stdinName), open: () => context.stdin } as const] : sources
  const toEvent = ({ kind, path, cid, byteLength }: Awaited<ReturnType<typeof importSources>>[number]): EntryEvent => ({ kind, path, cid: cid.toString(), byteLength })
  const roots = await importSources(discardingWriter, all, recipeOf(request), {
    ...request,
    signal: context.signal,
    onEntry: async (entry) => { printer.print(toEvent(entry), false, line) },
    onProgress: (progress) => { line.update(progress) }
  })
  for (const root of roots) printer.print(toEvent(root), true, line)
}

/** Prints entries as `ipfs add` does: a line each as they come, or with -Q the last root alone. */
class EntryPrinter {
  readonly #context: CommandContext
  readonly #flags: Flags
  #last: EntryEvent | undefined

  constructor (context: CommandContext, flags: Flags) {
    this.#context = context
    this.#flags = flags
  }

  print (entry: EntryEvent, isRoot: boolean, line?: { aside(print: () => void): void }): void {
    if (isRoot) this.#last = entry
    // A root comes twice, first as an entry like all others.
    if (isRoot || this.#flags.quieter === true) return
    const print = (): void => { this.#context.print(this.#format(entry)) }
    if (line === undefined) print()
    else line.aside(print)
  }

  finish (): void {
    if (this.#flags.quieter === true && this.#last !== undefined) this.#context.print(this.#format(this.#last))
  }

  #format (entry: EntryEvent): string {
    if (this.#context.isJson) return JSON.stringify(entry)
    if (this.#flags.quiet === true || this.#flags.quieter === true) return entry.cid
    return `added ${entry.cid} ${printable(entry.path === '' ? entry.cid : entry.path)}`
  }
}
