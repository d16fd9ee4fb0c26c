import { HoldfastError } from '@holdfast/core/errors'
import { resolve } from 'node:path'
import { onlyArgument, wholeNumber } from '../arguments.ts'
import { command, type CommandContext } from '../command.ts'
import { formatBytes, printable } from '../terminal/format.ts'

export const get = command({
  usage: 'get CID[/PATH] [--output PATH] [FLAGS]',
  summary: 'Write a file or tree to disk',
  details: 'Writes to the last part of the path in the current folder, unless --output names another place.\nNothing outside of that place is touched, whatever the tree holds. An interrupted get that is run again goes on where it was.',
  flags: {
    output: { type: 'string', short: 'o', value: 'PATH', help: 'Where to write' },
    overwrite: { type: 'boolean', short: 'f', help: 'Replace files that are there' },
    archive: { type: 'boolean', short: 'a', help: 'Write a TAR' },
    compress: { type: 'boolean', short: 'C', help: 'Compress with gzip: a file, or with --archive the TAR' },
    'compression-level': { type: 'string', short: 'l', value: '1-9', help: 'How much time gzip may take [default: 6]' },
    'allow-outside-symlinks': { type: 'boolean', help: 'Also write symlinks that point outside of the tree' },
    'max-size': { type: 'string', value: 'BYTES', help: 'Stop when more than this was written' }
  },

  async run (context, args, flags) {
    const path = onlyArgument(args, 'CID')
    const maxBytes = wholeNumber('max-size', flags['max-size'])
    const compressionLevel = wholeNumber('compression-level', flags['compression-level'])
    const place = flags.output ?? lastPart(path)
    const options = { overwrite: flags.overwrite, maxBytes }
    if (flags.archive === true || flags.compress === true) {
      return await getArchive(context, { path, archive: flags.archive, compress: flags.compress, compressionLevel }, resolve(context.cwd, archiveName(place, flags)), options)
    }
    if (compressionLevel !== undefined) throw new HoldfastError('INVALID', '--compression-level goes with --compress')
    await getTree(context, path, resolve(context.cwd, place), { ...options, allowOutsideSymlinks: flags['allow-outside-symlinks'] })
  }
})

interface GetOptions {
  readonly overwrite?: boolean | undefined
  readonly maxBytes?: number | undefined
}

async function getTree (context: CommandContext, path: string, target: string, options: GetOptions & { readonly allowOutsideSymlinks?: boolean | undefined }): Promise<void> {
  using line = context.progress('Getting')
  const [{ writeTree }, { getEntries }] = await Promise.all([import('@holdfast/dag/disk'), import('../get-entries.ts')])
  const entries = getEntries(context.daemon, path, { signal: context.signal, onProgress: (progress) => { line.update(progress) } })
  const { fileCount, byteLength, keptByteLength } = await writeTree(entries, target, {
    ...options,
    signal: context.signal,
    resumeKey: path,
    onInterrupted: (folder) => { line.aside(() => { context.note(`What was written is kept in ${printable(folder)}: run the same command again to go on`) }) }
  })
  if (context.isJson) context.print(JSON.stringify({ target, fileCount, byteLength, keptByteLength }))
  else context.note(`Wrote ${printable(target)}: ${fileCount} files, ${formatBytes(byteLength)}${keptByteLength > 0 ? `, ${formatBytes(keptByteLength)} of it before` : ''}`)
}

async function getArchive (context: CommandContext, args: { readonly path: string, readonly archive?: boolean | undefined, readonly compress?: boolean | undefined, readonly compressionLevel?: number | undefined }, target: string, options: GetOptions): Promise<void> {
  using line = context.progress('Getting')
  const { writeBytes } = await import('@holdfast/dag/disk')
  async function * bytes (): AsyncIterable<Uint8Array> {
    for await (const answer of context.daemon.call('get', args, context)) {
      if (answer.type === 'bytes') yield answer.bytes
      else if ('progress' in answer.event) line.update(answer.event.progress)
    }
  }
  const { byteLength } = await writeBytes(bytes(), target, { ...options, signal: context.signal })
  if (context.isJson) context.print(JSON.stringify({ target, byteLength }))
  else context.note(`Wrote ${printable(target)}: ${formatBytes(byteLength)}`)
}

/** The endings that `ipfs get` gives to what it writes. */
function archiveName (place: string, { archive, compress }: { readonly archive?: boolean | undefined, readonly compress?: boolean | undefined }): string {
  const name = archive === true && !/\.tar(\.gz)?$/.test(place) ? `${place}.tar` : place
  return compress === true && !name.endsWith('.gz') ? `${name}.gz` : name
}

function lastPart (path: string): string {
  const part = path.split('/').findLast((segment) => segment !== '' && segment !== '.' && segment !== '..')
  return part ?? path
}
