import type { ImportedCarEvent } from '@holdfast/api/client'
import { HoldfastError } from '@holdfast/core/errors'
import { open } from 'node:fs/promises'
import { resolve } from 'node:path'
import { onlyArgument } from '../arguments.ts'
import { command, type CommandContext, storedJson } from '../command.ts'
import { formatBytes, printable } from '../terminal/format.ts'

export const dagImport = command({
  usage: 'dag import FILE|-… [--no-pin-roots] [--stats]',
  summary: 'Store the blocks of CAR archives',
  details: 'Every block is checked against its CID. When all archives are read, the roots are pinned whose blocks are all here.',
  flags: {
    'pin-roots': { type: 'boolean', help: 'Pin the roots that the archives name [default: true]' },
    name: { type: 'string', value: 'NAME', help: 'Name of the pins' },
    stats: { type: 'boolean', help: 'Print how many blocks and bytes the archives had together' },
    silent: { type: 'boolean', help: 'Print no roots' }
  },

  async run (context, args, flags) {
    const paths = args.filter((arg) => arg !== '-').map((path) => resolve(context.cwd, path))
    if (paths.length > 0 && paths.length < args.length) throw new HoldfastError('INVALID', 'Standard input cannot be imported together with files')
    using line = context.progress('Importing')
    const body = paths.length === 0 ? context.stdin : undefined
    const sums = { blockCount: 0, byteLength: 0 }
    for await (const answer of context.daemon.call('dag-import', { paths, pinRoots: flags['pin-roots'], name: flags.name }, { body, signal: context.signal })) {
      if (answer.type !== 'event') continue
      if ('progress' in answer.event) {
        line.update(answer.event.progress)
        continue
      }
      const { imported } = answer.event
      sums.blockCount += imported.blockCount
      sums.byteLength += imported.byteLength
      if (flags.silent !== true) line.aside(() => { printImported(context, imported) })
    }
    if (flags.stats === true) line.aside(() => { context.print(context.isJson ? JSON.stringify({ stats: sums }) : `Imported ${sums.blockCount} blocks (${sums.byteLength} bytes)`) })
  }
})

function printImported (context: CommandContext, imported: ImportedCarEvent['imported']): void {
  if (context.isJson) return context.print(storedJson(imported, context))
  for (const root of imported.roots) context.print(`${imported.pinned.includes(root) ? 'pinned' : 'root'} ${root}`)
  context.note(`${printable(imported.source)}: ${imported.blockCount} blocks, ${formatBytes(imported.byteLength)}`)
}

export const dagExport = command({
  usage: 'dag export CID[/PATH] [--output FILE]',
  summary: 'Write a DAG as a CAR archive',
  flags: {
    output: { type: 'string', short: 'o', value: 'FILE', help: 'Where to write [default: standard output]' },
    'local-only': { type: 'boolean', help: 'Ask no peer, and leave out what is not here below the root' }
  },

  async run (context, args, { output, 'local-only': localOnly }) {
    const path = onlyArgument(args, 'CID')
    using line = process.stdout.isTTY && output === undefined ? undefined : context.progress('Exporting')
    await using file = output === undefined ? undefined : await open(resolve(context.cwd, output), 'w')
    let byteLength = 0
    for await (const answer of context.daemon.call('dag-export', { path, localOnly }, context)) {
      if (answer.type !== 'bytes') {
        line?.update(answer.event.progress)
        continue
      }
      if (file === undefined) await context.write(answer.bytes)
      else await file.writeFile(answer.bytes)
      line?.update({ byteLength: byteLength += answer.bytes.byteLength })
    }
  }
})
