import type { Logger } from '@holdfast/core'
import { BlockTable } from './block-table.ts'
import { MarksWriter } from './marks.ts'
import type { PackDisk } from './pack-disk.ts'
import type { PackIndex } from './pack-index.ts'
import { SectionBook } from './section-book.ts'
import { watchCommit } from './watch-commit.ts'

/** Table and marks over an open index. */
export function openBook ({ disk, index, storeId, log, commitEntries }: { disk: PackDisk, index: PackIndex, storeId: Uint8Array, log: Logger, commitEntries?: number | undefined }): SectionBook {
  const marks: MarksWriter = new MarksWriter({
    disk,
    storeId,
    log,
    byteLengthOf: (number) => {
      const pack = table.pack(number)
      return pack === undefined || pack.byteLength === 0 ? undefined : pack.marksByteLength
    },
    onWritten: (number, marksByteLength) => {
      // A compaction may have been done with the pack meanwhile.
      if (table.pack(number) !== undefined) table.extend(number, { marksByteLength })
    }
  })
  const table: BlockTable = new BlockTable({
    index,
    storeId,
    log,
    commitEntries,
    beforeCommit: async () => {
      await marks.flush()
      disk.requireSound()
    },
    watch: async (commit) => { await watchCommit(disk, commit) }
  })
  return new SectionBook(table, marks)
}
