import type { AddArgs, EntryEvent, RecipeArgs } from '@holdfast/api/client'
import { HoldfastError } from '@holdfast/core/errors'
import { resolve } from 'node:path'
import { wholeNumber } from '../arguments.ts'
import { command, type CommandContext, type FlagValues, storedJson } from '../command.ts'
import { printable } from '../terminal/format.ts'
import { ADD_SOURCE_FLAGS, sourceArgs } from './add-sources.ts'
import { CLUSTER_FLAGS, clusterArgs, WAIT_FLAGS, waitArgs, waitForPins } from './pin-options.ts'

const FLAGS = {
  quiet: { type: 'boolean', short: 'q', help: 'Print CIDs only' },
  quieter: { type: 'boolean', short: 'Q', help: 'Print the CID of the last root only' },
  silent: { type: 'boolean', help: 'Print nothing but errors' },
  name: { type: 'string', value: 'NAME', help: 'Name of the pin' },
  'pin-name': { type: 'string', value: 'NAME', help: 'The same as --name' },
  ...CLUSTER_FLAGS,
  ...WAIT_FLAGS,
  'stdin-name': { type: 'string', value: 'NAME', help: 'Name of standard input in the directory that -w makes' },
  profile: { type: 'string', value: 'NAME', help: 'Recipe of the CID: unixfs-v1-2025 or unixfs-v0-2015 [default: unixfs-v1-2025]' },
  'only-hash': { type: 'boolean', short: 'n', help: 'Compute CIDs and store nothing; needs no running node' },
  pin: { type: 'boolean', help: 'Keep what was added; --no-pin leaves it to the next gc [default: true]' },
  'wrap-with-directory': { type: 'boolean', short: 'w', help: 'Put what is added into a directory of its own' },
  'empty-dirs': { type: 'boolean', short: 'E', help: 'Include empty directories [default: true]' },
  ...ADD_SOURCE_FLAGS,
  chunker: { type: 'string', short: 's', value: 'NAME', help: 'How files are cut into chunks: size-N, rabin, rabin-AVG, rabin-MIN-AVG-MAX or buzhash' },
  trickle: { type: 'boolean', short: 't', help: 'Lay files out so that their beginning is near the root' },
  'cid-version': { type: 'string', value: 'N', help: 'Version of the CIDs, 0 or 1' },
  'raw-leaves': { type: 'boolean', help: 'Store chunks as raw blocks' },
  hash: { type: 'string', value: 'NAME', help: 'Hash function: sha2-256, blake3, …' },
  'max-file-links': { type: 'string', value: 'N', help: 'Most links of an inner node of a file' },
  'max-directory-links': { type: 'string', value: 'N', help: 'Directories with more entries become HAMTs; 0: only long ones [default: 0]' },
  'max-hamt-fanout': { type: 'string', value: 'N', help: 'Slots of a HAMT shard, a power of two from 8 to 1024 [default: 256]' },
  inline: { type: 'boolean', help: 'Put small blocks into their CIDs' },
  'inline-limit': { type: 'string', value: 'N', help: 'Most bytes of a block that --inline puts into its CID, up to 128 [default: 32]' },
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
    if (flags.pin === false && (flags.name ?? flags['pin-name']) !== undefined) throw new HoldfastError('INVALID', 'A name is a name of the pin: it cannot go with --no-pin')
    const wanted = clusterArgs(flags)
    const wait = waitArgs(flags)
    if (wanted.copies !== undefined && (flags.pin === false || flags['only-hash'] === true)) throw new HoldfastError('INVALID', `Copies are of a pin: --copies cannot go with ${flags.pin === false ? '--no-pin' : '--only-hash'}`)
    if (wanted.copies === undefined && wait !== undefined) throw new HoldfastError('INVALID', '--wait is for copies in the cluster: say how many by --copies N')

    const request: AddArgs = { ...recipeArgs(flags), ...wanted, ...await sourceArgs(flags, context.cwd), wrap: flags['wrap-with-directory'], emptyDirectories: flags['empty-dirs'], stdinName: flags['stdin-name'], paths: paths.map((path) => resolve(context.cwd, path)), pin: flags.pin, name: flags.name ?? flags['pin-name'] }
    const ids: string[] = []
    if (flags['only-hash'] === true) await computeOnly(context, request, printer)
    else ids.push(...await addByDaemon(context, request, printer, flags))
    printer.finish()
    if (wait !== undefined) await waitForPins(context, ids, wait)
    printer.requireComplete()
  }
})

function recipeArgs (flags: Flags): RecipeArgs {
  return {
    profile: flags.profile,
    cidVersion: wholeNumber('cid-version', flags['cid-version']),
    hash: flags.hash,
    rawLeaves: flags['raw-leaves'],
    chunker: flags.chunker,
    trickle: flags.trickle,
    maxFileLinks: wholeNumber('max-file-links', flags['max-file-links']),
    maxDirectoryLinks: wholeNumber('max-directory-links', flags['max-directory-links']),
    maxHamtFanout: wholeNumber('max-hamt-fanout', flags['max-hamt-fanout']),
    inline: flags.inline,
    inlineLimit: wholeNumber('inline-limit', flags['inline-limit'])
  }
}

async function addByDaemon (context: CommandContext, request: AddArgs, printer: EntryPrinter, { progress, silent }: Flags): Promise<string[]> {
  const { daemon, stdin, signal } = context
  const ids: string[] = []
  using line = progress === false || silent === true ? undefined : context.progress('Adding')
  const body = request.paths.length === 0 ? stdin : undefined
  for await (const answer of daemon.call('add', request, { body, signal })) {
    if (answer.type !== 'event') continue
    const { event } = answer
    if ('progress' in event) line?.update(event.progress)
    else if ('entry' in event) printer.print(event.entry, event.isRoot, line)
    else if ('unreadable' in event) printer.leaveOut(event.unreadable.reason, line)
    else if ('pin' in event && event.pin.cluster !== undefined) ids.push(event.pin.cluster.id)
  }
  return ids
}

/** `--only-hash` reads the files in this process; the same code as in the daemon, and nothing is stored. */
async function computeOnly (context: CommandContext, request: AddArgs, printer: EntryPrinter): Promise<void> {
  const { discardingWriter, importSources, keepsAttributes, openPathSources, recipeOf, setAttributes } = await import('@holdfast/dag')
  const { paths, stdinName = '' } = request
  using line = context.progress('Hashing')
  const sources = paths.length === 0
    ? [{ kind: 'file', name: Buffer.from(stdinName), attributes: setAttributes(request), open: () => context.stdin } as const]
    : await openPathSources(paths, request)
  const toEvent = ({ kind, path, cid, byteLength }: Awaited<ReturnType<typeof importSources>>[number]): EntryEvent => ({ kind, path, cid: cid.toString(), byteLength })
  const roots = await importSources(discardingWriter, sources, recipeOf({ ...request, keepsAttributes: keepsAttributes(request) }), {
    wrap: request.wrap,
    emptyDirectories: request.emptyDirectories,
    // As `ipfs add --only-hash`: it is there to compare CIDs with.
    ignoreWidthsAtTop: true,
    signal: context.signal,
    onEntry: async (entry) => { printer.print(toEvent(entry), false, line) },
    onUnreadable: request.ignoreErrors === true ? async (_, reason) => { printer.leaveOut(reason instanceof Error ? reason.message : String(reason), line) } : undefined,
    onProgress: (progress) => { line.update(progress) }
  })
  for (const root of roots) printer.print(toEvent(root), true, line)
}

/** Prints entries as `ipfs add` does: a line each as they come, or with -Q the last root alone. */
class EntryPrinter {
  readonly #context: CommandContext
  readonly #flags: Flags
  #last: EntryEvent | undefined
  #leftOutCount = 0

  constructor (context: CommandContext, flags: Flags) {
    this.#context = context
    this.#flags = flags
  }

  print (entry: EntryEvent, isRoot: boolean, line?: { aside(print: () => void): void }): void {
    if (isRoot) this.#last = entry
    // A root comes twice, first as an entry like all others.
    if (isRoot || this.#flags.quieter === true || this.#flags.silent === true) return
    const print = (): void => { this.#context.print(this.#format(entry)) }
    if (line === undefined) print()
    else line.aside(print)
  }

  /** Tells of an entry that could not be read. */
  leaveOut (reason: string, line?: { aside(print: () => void): void }): void {
    this.#leftOutCount++
    const note = (): void => { this.#context.note(printable(reason)) }
    if (line === undefined) note()
    else line.aside(note)
  }

  finish (): void {
    if (this.#flags.quieter === true && this.#flags.silent !== true && this.#last !== undefined) this.#context.print(this.#format(this.#last))
  }

  /** @throws `UNAVAILABLE` when entries were left out: what was added is not all that was named. */
  requireComplete (): void {
    if (this.#leftOutCount > 0) throw new HoldfastError('UNAVAILABLE', `${this.#leftOutCount} ${this.#leftOutCount === 1 ? 'entry' : 'entries'} could not be read; everything else was added`)
  }

  #format (entry: EntryEvent): string {
    if (this.#context.isJson) return storedJson(entry, this.#context)
    if (this.#flags.quiet === true || this.#flags.quieter === true) return entry.cid
    return `added ${entry.cid} ${printable(entry.path === '' ? entry.cid : entry.path)}`
  }
}
