import { HoldfastError } from '@holdfast/core/errors'
import { command } from '../command.ts'
import { parseEngine } from '../parse-engine.ts'
import { formatBytes } from '../terminal/format.ts'

export const repoRebuildIndex = command({
  usage: 'repo rebuild-index',
  summary: 'Make the index of the packs anew',
  details: 'Reads all packs. The node must be stopped. It does the same by itself when it finds its index missing or damaged.',
  flags: {},

  async run (context, args) {
    if (args.length > 0) throw (await import('../daemon/refusals.ts')).noArguments('repo rebuild-index', args)
    const { rebuildIndex } = await import('../daemon/maintenance.ts')
    using line = context.progress('Reading packs')
    const rebuilt = await rebuildIndex(context.repository, {
      signal: context.signal,
      onProgress: ({ bytesRead, sectionsRead }) => { line.update({ byteLength: bytesRead, blockCount: sectionsRead }) }
    })
    const { blockCount, packCount, quarantinedCount } = rebuilt
    context.print(context.isJson ? JSON.stringify(rebuilt) : `Made the index of ${blockCount} blocks in ${packCount} packs${quarantinedCount === 0 ? '' : `; ${quarantinedCount} more are damaged and quarantined`}`)
  }
})

export const repoConvert = command({
  usage: 'repo convert --to pack|fs [--leave-damaged]',
  summary: 'Move the blocks to another engine',
  details: 'The node must be stopped, and the disk must have room for both. All blocks are copied, then every copy is read and checked, and\nonly then the old files are removed. Run it again when it was interrupted; with --to and the engine of before it is given up.',
  flags: {
    to: { type: 'string', value: 'pack|fs', help: 'The engine to move to' },
    'leave-damaged': { type: 'boolean', help: 'Go on without blocks whose bytes do not match; they are gone afterwards' }
  },

  async run (context, args, flags) {
    if (args.length > 0) throw (await import('../daemon/refusals.ts')).noArguments('repo convert', args)
    const to = parseEngine(flags.to)
    if (to === undefined) throw new HoldfastError('INVALID', 'Say which engine to move to: holdfast repo convert --to pack')
    const { openForMaintenance } = await import('../daemon/maintenance.ts')
    const { convertRepository } = await import('../daemon/convert.ts')
    const { repository, signal } = context
    await using held = await openForMaintenance(repository)
    using line = context.progress('Converting')
    const conversion = await convertRepository({ repository, to, config: held.config, leaveDamaged: flags['leave-damaged'], signal, onProgress: (progress) => { line.update(progress) } })
    if (context.isJson) return context.print(JSON.stringify({ engine: to, ...conversion }))
    if (conversion === undefined) return context.print(`The repository has the engine ${to}`)
    const { blockCount, byteLength, damagedCount } = conversion
    context.print(`Moved ${blockCount} blocks, ${formatBytes(byteLength)}, to the engine ${to}${damagedCount === 0 ? '' : `, and left ${damagedCount} damaged ones behind`}`)
  }
})
