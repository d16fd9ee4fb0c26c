import type { Ipld } from '@holdfast/core'
import type { Journal, JournalRecord } from '@holdfast/pins'
import type { ClusterRecord } from '../record/record.ts'
import type { ClusterMemory } from './cluster-memory.ts'
import { JOURNAL_KINDS, kindOf, leftOf, recordOf, seqOf } from './journal-records.ts'

/** Records that are read from the journal before they are merged together. */
const REPLAY_BATCH = 1024

/**
 * Reads what the journal holds into memory, and returns how many of its records are ours.
 *
 * Records stand in the journal behind those that let their writers in, so one pass does. Unless somebody was removed:
 * then what the removal made void must replace nothing, although it came before, and all is read again with the members first.
 */
export async function replayJournal (journal: Journal, memory: ClusterMemory): Promise<number> {
  const inOrder = new Replay(memory)
  const count = await inOrder.read(journal, () => true)
  const { waiting = 0 } = memory.cluster?.map.counts ?? {}
  if (!inOrder.isStricter && waiting === 0) return count
  memory.reset()
  await new Replay(memory).read(journal, (value) => isAbout(value, ['genesis', 'member']))
  if (memory.cluster === undefined) return count
  await new Replay(memory, { isWithinCluster: true }).read(journal, (value) => isAbout(value, ['pin', 'hold', 'profile', 'forget']))
  return count
}

/** One pass over the journal. */
class Replay {
  readonly #memory: ClusterMemory
  /** Which cluster it is was found out before. */
  readonly #isWithinCluster: boolean
  #hasLeft = false
  #batch: ClusterRecord[] = []
  /** Somebody may do less than before by a record that came. */
  isStricter = false

  constructor (memory: ClusterMemory, { isWithinCluster = false }: { readonly isWithinCluster?: boolean } = {}) {
    this.#memory = memory
    this.#isWithinCluster = isWithinCluster
  }

  async read (journal: Journal, isWanted: (value: Ipld) => boolean): Promise<number> {
    let count = 0
    for await (const record of journal.replay()) {
      if (!JOURNAL_KINDS.includes(record.kind)) continue
      count++
      if (record.kind !== 'record' || isWanted(record.value)) this.#take(record)
    }
    this.#mergeBatch()
    return count
  }

  #take ({ kind, value }: JournalRecord): void {
    if (kind === 'invite') return this.#takeInvite(value)
    if (kind === 'record-seq') return this.#memory.cluster?.writer.raiseSeq(seqOf(value))
    if (kind === 'left') return this.#leave(value)
    const record = recordOf(value)
    if (record.kind === 'genesis') {
      this.#mergeBatch()
      return this.#memory.start(record)
    }
    // A write that was under way when the cluster was left may come after that.
    if (this.#hasLeft && this.#memory.cluster === undefined) return
    this.#batch.push(record)
    if (this.#batch.length >= REPLAY_BATCH) this.#mergeBatch()
  }

  /** Those of a cluster that was left are cleared by what comes after them, which the last pass does not read. */
  #takeInvite (value: Ipld): void {
    if (!this.#isWithinCluster) this.#memory.invites.apply(value)
  }

  #leave (value: Ipld): void {
    if (this.#isWithinCluster) return
    this.#mergeBatch()
    this.#hasLeft = true
    this.#memory.end(leftOf(value))
  }

  #mergeBatch (): void {
    const records = this.#batch
    this.#batch = []
    if (records.length > 0 && this.#memory.merge(records)) this.isStricter = true
  }
}

function isAbout (value: Ipld, kinds: ReadonlyArray<ReturnType<typeof kindOf>>): boolean {
  return kinds.includes(kindOf(value))
}
