import { open } from 'node:fs/promises'
import { resolve } from 'node:path'
import { onlyArgument } from '../arguments.ts'
import { command, storedJson } from '../command.ts'
import { formatBytes, printable } from '../terminal/format.ts'

export const dagImport = command({
  usage: 'dag import FILE|-… [--no-pin-roots] [--name NAME]',
  summary: 'Store the blocks of CAR archives',
  details: 'Every block is checked against its CID. The roots are pinned when all their blocks are here.',
  flags: {
    'pin-roots': { type: 'boolean', help: 'Pin the roots that the archives name [default: true]' },
    name: { type: 'string', value: 'NAME', help: 'Name of the pins' }
  },

  async run (context, args, flags) {
    const paths = args.filter((arg) => arg !== '-').map((path) => resolve(context.cwd, path))
    using line = context.progress('Importing')
    const body = paths.length === 0 ? context.stdin : undefined
    for await (const answer of context.daemon.call('dag-import', { paths, pinRoots: flags['pin-roots'], name: flags.name }, { body, signal: context.signal })) {
      if (answer.type !== 'event') continue
      if ('progress' in answer.event) {
        line.update(answer.event.progress)
        continue
      }
      const { imported } = answer.event
      line.aside(() => {
        if (context.isJson) return context.print(storedJson(imported, context))
        for (const root of imported.roots) context.print(`${imported.pinned.includes(root) ? 'pinned' : 'root'} ${root}`)
        context.note(`${printable(imported.source)}: ${imported.blockCount} blocks, ${formatBytes(imported.byteLength)}`)
      })
    }
  }
})

export const dagExport = command({
  usage: 'dag export CID[/PATH] [--output FILE]',
  summary: 'Write a DAG as a CAR archive',
  flags: {
    output: { type: 'string', short: 'o', value: 'FILE', help: 'Where to write [default: standard output]' }
  },

  async run (context, args, { output }) {
    const path = onlyArgument(args, 'CID')
    using line = process.stdout.isTTY && output === undefined ? undefined : context.progress('Exporting')
    await using file = output === undefined ? undefined : await open(resolve(context.cwd, output), 'w')
    let byteLength = 0
    for await (const answer of context.daemon.call('dag-export', { path }, context)) {
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
