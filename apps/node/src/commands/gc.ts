import { command } from '../command.ts'
import { formatBytes } from '../terminal/format.ts'

export const gc = command({
  usage: 'gc [--dry-run] [--full]',
  summary: 'Remove blocks that nothing keeps',
  details: 'Reading and adding go on meanwhile. What is being added or pinned is kept. Blocks that were only fetched go, too.\nLooks only at blocks that lost what kept them, or never had anything; after a crash at every block, once.',
  flags: {
    'dry-run': { type: 'boolean', help: 'Only tell what would be removed' },
    full: { type: 'boolean', help: 'Look at every block, also at those that came here behind the node\'s back' }
  },

  async run (context, _args, flags) {
    const dryRun = flags['dry-run'] === true
    using line = context.progress('Collecting')
    for await (const answer of context.daemon.call('gc', { dryRun, full: flags.full === true }, context)) {
      if (answer.type !== 'event') continue
      if ('progress' in answer.event) {
        line.update(answer.event.progress)
        continue
      }
      const { collected } = answer.event
      if (context.isJson) context.print(JSON.stringify(collected))
      else context.print(`${dryRun ? 'Would remove' : 'Removed'} ${collected.removedCount} blocks (${formatBytes(collected.removedByteLength)})`)
    }
  }
})
