import { HoldfastError } from '@holdfast/core/errors'
import { command } from '../command.ts'
import { formatBytes } from '../terminal/format.ts'

export const dagStat = command({
  usage: 'dag stat CID[/PATH]…',
  summary: 'Count the blocks of DAGs, alone and together',
  details: 'A block that occurs more than once counts once in its DAG. What several DAGs have in common counts once under "unique".',
  flags: {},

  async run (context, args) {
    if (args.length === 0) throw new HoldfastError('INVALID', 'No CID given')
    using line = context.progress('Walking')
    for await (const answer of context.daemon.call('dag-stat', { paths: args }, context)) {
      if (answer.type !== 'event') continue
      const { event } = answer
      if ('progress' in event) line.update(event.progress)
      else if (context.isJson) line.aside(() => { context.print(JSON.stringify(event)) })
      else if ('dag' in event) line.aside(() => { context.print(`${event.dag.cid}  ${sumText(event.dag)}`) })
      else {
        line.aside(() => {
          context.print(`Unique  ${sumText(event.unique)}`)
          context.print(`Total   ${sumText(event.total)}`)
        })
      }
    }
  }
})

function sumText ({ blockCount, byteLength }: { blockCount: number, byteLength: number }): string {
  return `${blockCount} ${blockCount === 1 ? 'block' : 'blocks'}, ${byteLength} bytes (${formatBytes(byteLength)})`
}
