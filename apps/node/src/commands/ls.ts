import type { EntryEvent } from '@holdfast/api/client'
import { onlyArgument, wholeNumber } from '../arguments.ts'
import { command } from '../command.ts'
import { printable } from '../terminal/format.ts'

export const ls = command({
  usage: 'ls CID[/PATH] [FLAGS]',
  summary: 'List a directory',
  details: 'Prints CID, bytes and name of each entry; directories end in a slash.',
  flags: {
    size: { type: 'boolean', short: 's', help: 'Read each entry for its kind and length; --no-size is faster [default: true]' },
    offset: { type: 'string', value: 'N', help: 'Entries to pass over' },
    limit: { type: 'string', value: 'N', help: 'Most entries to list' },
    long: { type: 'boolean', short: 'l', help: 'Also print mode and time' }
  },

  async run (context, args, { size, long, ...page }) {
    const path = onlyArgument(args, 'CID')
    const offset = wholeNumber('offset', page.offset)
    const limit = wholeNumber('limit', page.limit)
    using line = context.progress('Listing')
    for await (const answer of context.daemon.call('ls', { path, size, offset, limit }, context)) {
      if (answer.type !== 'event') continue
      const { event } = answer
      if ('progress' in event) line.update(event.progress)
      else line.aside(() => { context.print(context.isJson ? JSON.stringify(event) : format(event, long === true)) })
    }
  }
})

const LENGTH_COLUMN = 12

function format ({ kind, cid, path, byteLength, target, mode, mtimeSeconds }: EntryEvent, isLong: boolean): string {
  const length = String(kind === 'directory' ? '-' : byteLength ?? '-').padStart(LENGTH_COLUMN)
  const suffix = kind === 'directory' ? '/' : target === undefined ? '' : ` -> ${printable(target)}`
  const attributes = isLong ? `${mode === undefined ? '----' : mode.toString(8).padStart(4, '0')}  ${mtimeSeconds === undefined ? '-' : new Date(mtimeSeconds * 1000).toISOString()}  ` : ''
  return `${attributes}${cid}  ${length}  ${printable(path)}${suffix}`
}
