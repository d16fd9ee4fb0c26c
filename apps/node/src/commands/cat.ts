import { readContent } from '@holdfast/api/client'
import { onlyArgument, wholeNumber } from '../arguments.ts'
import { command } from '../command.ts'
import { HoldfastError } from '@holdfast/core/errors'

export const cat = command({
  usage: 'cat CID[/PATH]… [--offset N] [--length N]',
  summary: 'Print the content of a file',
  flags: {
    offset: { type: 'string', short: 'o', value: 'N', help: 'First byte to print' },
    length: { type: 'string', short: 'l', value: 'N', help: 'Most bytes to print' }
  },

  async run (context, args, flags) {
    if (args.length === 0) throw new HoldfastError('INVALID', 'No CID given')
    if (args.length > 1 && (flags.offset !== undefined || flags.length !== undefined)) onlyArgument(args, 'CID with --offset or --length')
    const offset = wholeNumber('offset', flags.offset)
    const length = wholeNumber('length', flags.length)
    // Content on a terminal and a progress line would overwrite each other.
    using line = process.stdout.isTTY ? undefined : context.progress('Reading')
    for (const path of args) {
      for await (const answer of readContent(context.daemon, { path, offset, length }, context)) {
        if (answer.type === 'bytes') await context.write(answer.bytes)
        else line?.update(answer.event.progress)
      }
    }
  }
})
