import { HoldfastError } from '@holdfast/core/errors'
import { wholeNumber } from '../arguments.ts'
import { command } from '../command.ts'

export const refs = command({
  usage: 'refs CID[/PATH]… [FLAGS]',
  summary: 'Tell what a block links to',
  flags: {
    recursive: { type: 'boolean', short: 'r', help: 'Tell everything below, depth first' },
    unique: { type: 'boolean', short: 'u', help: 'Tell each CID once' },
    edges: { type: 'boolean', short: 'e', help: 'Print links as FROM -> TO' },
    'max-depth': { type: 'string', value: 'N', help: 'How far links are followed with -r' }
  },

  async run (context, args, { recursive, unique, edges, 'max-depth': depth }) {
    if (args.length === 0) throw new HoldfastError('INVALID', 'No CID given')
    let unreachableCount = 0
    using line = context.progress('Walking')
    for await (const answer of context.daemon.call('refs', { paths: args, recursive, unique, maxDepth: wholeNumber('max-depth', depth) }, context)) {
      if (answer.type !== 'event') continue
      const { event } = answer
      if ('progress' in event) line.update(event.progress)
      else if ('unreachable' in event) {
        unreachableCount++
        line.aside(() => { context.note(event.unreachable.reason) })
      } else {
        const { from, cid } = event.ref
        line.aside(() => { context.print(context.isJson ? JSON.stringify(event) : edges === true ? `${from} -> ${cid}` : cid) })
      }
    }
    if (unreachableCount > 0) throw new HoldfastError('UNAVAILABLE', `${unreachableCount} of ${args.length} DAGs could not be followed to the end`)
  }
})
