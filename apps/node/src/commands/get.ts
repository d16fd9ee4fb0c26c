import type { Answer, EntryEvent } from '@holdfast/api/client'
import { HoldfastError } from '@holdfast/core/errors'
import type { TreeEntry } from '@holdfast/dag'
import { resolve } from 'node:path'
import { onlyArgument, wholeNumber } from '../arguments.ts'
import { command } from '../command.ts'
import { formatBytes, printable } from '../terminal/format.ts'
import type { ProgressLine } from '../terminal/progress.ts'

export const get = command({
  usage: 'get CID[/PATH] [--output PATH] [FLAGS]',
  summary: 'Write a file or tree to disk',
  details: 'Writes to the last part of the path in the current folder, unless --output names another place.\nNothing outside of that place is touched, whatever the tree holds.',
  flags: {
    output: { type: 'string', short: 'o', value: 'PATH', help: 'Where to write' },
    overwrite: { type: 'boolean', short: 'f', help: 'Replace files that are there' },
    'allow-outside-symlinks': { type: 'boolean', help: 'Also write symlinks that point outside of the tree' },
    'max-size': { type: 'string', value: 'BYTES', help: 'Stop when more than this was written' }
  },

  async run (context, args, flags) {
    const path = onlyArgument(args, 'CID')
    const { writeTree } = await import('@holdfast/dag/disk')
    using line = context.progress('Getting')
    const answers = context.daemon.call('get', { path }, context)
    const target = resolve(context.cwd, flags.output ?? lastPart(path))
    const maxBytes = wholeNumber('max-size', flags['max-size'])
    const { fileCount, byteLength } = await writeTree(entriesOf(answers, line), target, {
      signal: context.signal,
      overwrite: flags.overwrite,
      allowOutsideSymlinks: flags['allow-outside-symlinks'],
      ...(maxBytes === undefined ? {} : { maxBytes })
    })
    if (context.isJson) context.print(JSON.stringify({ target, fileCount, byteLength }))
    else context.note(`Wrote ${printable(target)}: ${fileCount} files, ${formatBytes(byteLength)}`)
  }
})

function lastPart (path: string): string {
  const part = path.split('/').findLast((segment) => segment !== '' && segment !== '.' && segment !== '..')
  return part ?? path
}

/** Turns the one stream of the daemon into entries whose content is read in turn. */
async function * entriesOf (answers: AsyncIterable<Answer<'get'>>, line: ProgressLine): AsyncIterable<TreeEntry> {
  const iterator = answers[Symbol.asyncIterator]()
  let next = await iterator.next()
  const advance = async (): Promise<void> => {
    do {
      next = await iterator.next()
      if (next.done !== true && next.value.type === 'event' && 'progress' in next.value.event) line.update(next.value.event.progress)
    } while (next.done !== true && next.value.type === 'event' && 'progress' in next.value.event)
  }
  async function * content (): AsyncIterable<Uint8Array> {
    for (;;) {
      await advance()
      if (next.done === true || next.value.type !== 'bytes') return
      yield next.value.bytes
    }
  }
  try {
    while (next.done !== true) {
      if (next.value.type !== 'event' || !('entry' in next.value.event)) throw new HoldfastError('INVALID', 'The daemon sent content without an entry; is it of another version?')
      const { entry } = next.value.event
      yield toTreeEntry(entry, content)
      if (entry.kind !== 'file') await advance()
    }
  } finally {
    await iterator.return?.()
  }
}

function toTreeEntry (entry: EntryEvent, content: () => AsyncIterable<Uint8Array>): TreeEntry {
  const path = entry.path === '' ? [] : entry.path.split('/')
  const common = { path, mode: entry.mode, mtime: entry.mtimeSeconds === undefined ? undefined : timeOf(entry.mtimeSeconds) }
  switch (entry.kind) {
    case 'directory': return { kind: 'directory', ...common }
    case 'symlink': return { kind: 'symlink', ...common, target: entry.target ?? '' }
    default: return { kind: 'file', ...common, byteLength: entry.byteLength ?? 0, content: content() }
  }
}

function timeOf (seconds: number): { seconds: bigint, nanoseconds: number } {
  const whole = Math.floor(seconds)
  return { seconds: BigInt(whole), nanoseconds: Math.round((seconds - whole) * 1e9) }
}
