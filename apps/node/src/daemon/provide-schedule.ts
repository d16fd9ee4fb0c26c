import type { Journal } from '@holdfast/pins'

/** When the last round of announcements began, kept in the journal so that a restart does not begin a new one. */
export interface ProvideSchedule {
  read(): number | undefined
  write(startedAtMs: number): Promise<void>
}

/** Kind of the journal's records that hold the schedule: `{ startedAtMs: int }`. */
const KIND = 'provide-round'

/** Reads the schedule from the journal; whatever else the journal holds is passed over. */
export async function openProvideSchedule (journal: Journal): Promise<ProvideSchedule> {
  let lastMs: number | undefined
  for await (const { kind, value } of journal.replay()) {
    if (kind !== KIND || typeof value !== 'object' || value === null || !('startedAtMs' in value)) continue
    if (typeof value.startedAtMs === 'number') lastMs = value.startedAtMs
  }
  return {
    read: () => lastMs,
    async write (startedAtMs) {
      await journal.append([{ kind: KIND, value: { startedAtMs } }])
      lastMs = startedAtMs
    }
  }
}
