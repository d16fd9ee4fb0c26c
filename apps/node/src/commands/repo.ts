import type { EngineFigures } from '@holdfast/api/client'
import { command } from '../command.ts'
import { formatBytes, printable } from '../terminal/format.ts'

export const repoStat = command({
  usage: 'repo stat',
  summary: 'Count blocks, bytes and pins',
  flags: {},

  async run (context) {
    for await (const answer of context.daemon.call('repo-stat', {}, context)) {
      if (answer.type !== 'event') continue
      const { event } = answer
      if (context.isJson) {
        context.print(JSON.stringify(event))
        continue
      }
      context.print(`Repository  ${printable(event.repository)}`)
      context.print(`Version     ${event.version}`)
      context.print(`Engine      ${event.engine}${event.durability === 'os' ? '; acknowledged blocks may be lost in a power cut (durability os)' : ''}`)
      context.print(`Blocks      ${event.blockCount}, together ${formatBytes(event.byteLength)}`)
      const { inPlace } = event
      if (inPlace.blockCount > 0) context.print(`In place    ${inPlace.blockCount} more, ${formatBytes(inPlace.byteLength)} in ${inPlace.fileCount} ${inPlace.fileCount === 1 ? 'file' : 'files'} of yours`)
      context.print(`Cache       ${event.cache.blockCount} of them, ${formatBytes(event.cache.byteLength)} of at most ${formatBytes(event.cache.maxBytes)}`)
      context.print(`Pins        ${event.pinCount}, journal ${formatBytes(event.journalByteLength)}`)
      for (const line of storageLines(event.storage)) context.print(line)
      context.print(`Disk        ${formatBytes(event.freeByteLength)} free${event.storage.reserveByteLength === undefined ? '' : `, ${formatBytes(event.storage.reserveByteLength)} of it as a reserve`}`)
    }
  }
})

function storageLines ({ packCount, liveByteLength = 0, deadByteLength = 0, indexByteLength = 0, quarantinedCount = 0, maxByteLength }: EngineFigures): string[] {
  if (packCount === undefined) return []
  return [
    `Packs       ${packCount}: ${formatBytes(liveByteLength)} live, ${formatBytes(deadByteLength)} of deleted blocks`,
    `Index       ${formatBytes(indexByteLength)}`,
    ...(quarantinedCount === 0 ? [] : [`Damaged     ${quarantinedCount} blocks are quarantined. To fetch them again: holdfast repo repair --from-peers`]),
    `Limit       ${maxByteLength === undefined ? 'the disk' : formatBytes(maxByteLength)}`
  ]
}
