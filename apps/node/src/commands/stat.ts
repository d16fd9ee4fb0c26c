import { onlyArgument } from '../arguments.ts'
import { command } from '../command.ts'
import { formatBytes, printable } from '../terminal/format.ts'

export const stat = command({
  usage: 'stat CID[/PATH] [--no-dag]',
  summary: 'Tell what a CID is and how much it holds',
  flags: {
    dag: { type: 'boolean', help: 'Walk the whole DAG and count its blocks; --no-dag reads the root alone [default: true]' }
  },

  async run (context, args, { dag }) {
    const path = onlyArgument(args, 'CID')
    using line = context.progress('Walking')
    for await (const answer of context.daemon.call('stat', { path, dag }, context)) {
      if (answer.type !== 'event') continue
      if ('progress' in answer.event) {
        line.update(answer.event.progress)
        continue
      }
      const { stat } = answer.event
      if (context.isJson) {
        context.print(JSON.stringify(stat))
        continue
      }
      context.print(`CID      ${stat.cid}`)
      context.print(`Kind     ${stat.kind}`)
      if (stat.byteLength !== undefined) context.print(`Length   ${stat.byteLength} bytes (${formatBytes(stat.byteLength)})`)
      if (stat.target !== undefined) context.print(`Target   ${printable(stat.target)}`)
      if (stat.blockCount !== undefined) context.print(`Blocks   ${stat.blockCount}, together ${formatBytes(stat.blockByteLength ?? 0)}`)
    }
  }
})
