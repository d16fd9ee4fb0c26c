import type { AbortOptions } from '@holdfast/core'
import type { CID } from 'multiformats/cid'

/** What an acknowledged block survives: a crash of the machine, or only one of the process. */
export type Durability = 'disk' | 'os'

/** The header of every answer that rests on a block being acknowledged, when that does not survive a crash of the machine. */
export const DURABILITY_HEADER = 'x-holdfast-durability'

/** What the engine takes on the disk, and may take. Which figures there are depends on the engine. */
export interface EngineFigures {
  readonly packCount?: number | undefined
  /** Bytes of blocks that count, with what the engine adds to them. */
  readonly liveByteLength?: number | undefined
  /** Bytes of deleted blocks that compaction will give back. */
  readonly deadByteLength?: number | undefined
  readonly indexByteLength?: number | undefined
  /** Blocks that were found damaged, and not put again since. */
  readonly quarantinedCount?: number | undefined
  /** Bytes that are not passed; absent when only the disk is the limit. */
  readonly maxByteLength?: number | undefined
  /** Bytes of the disk that stay free. */
  readonly reserveByteLength?: number | undefined
}

/** How far a check of the store has come; cumulative. */
export interface CheckProgress {
  readonly blockCount: number
  readonly hashedCount: number
  readonly byteLength: number
  readonly damagedCount: number
  /** Entries of the index that were wrong, and were put right. */
  readonly indexRepairCount: number
}

export interface CheckOptions extends AbortOptions {
  /** Hashes one block in so many. @default 1 */
  readonly sample?: number | undefined
  onProgress?(progress: CheckProgress): void
}

export interface CheckReport extends CheckProgress {
  /** The index was wrong, and is made anew when the node starts next. */
  readonly isIndexBroken: boolean
  /** Blocks that were found damaged in this run and are quarantined; of very many only the first. */
  readonly damaged: readonly CID[]
}

/** Checks that engines with a quarantine do by themselves: what is damaged counts as absent from then on. */
export interface EngineIntegrity {
  /** Compares blocks and index, and hashes blocks. */
  check(options: CheckOptions): Promise<CheckReport>
  /** The blocks that are quarantined, and were not put again. */
  quarantined(options: AbortOptions): AsyncIterable<CID>
  /** The check that goes on in the background. */
  readonly scrub: Scrub
}

export interface ScrubStatus {
  readonly state: 'idle' | 'running' | 'paused'
  readonly bytesPerSecond: number
  /** In this round. */
  readonly byteLength: number
  readonly totalByteLength: number
  readonly damagedCount: number
  /** When the round began, and when the last whole one ended, in ms since 1970. */
  readonly startedMs?: number | undefined
  readonly finishedMs?: number | undefined
}

/** A check of everything, slow on purpose, that a restart does not begin anew. */
export interface Scrub {
  status(): ScrubStatus
  /** Begins a round, or goes on with the one that is paused. */
  start(options: { readonly bytesPerSecond?: number | undefined }): Promise<ScrubStatus>
  pause(): Promise<ScrubStatus>
}

/** What is special to the engine that keeps the blocks. */
export interface StorageEngine {
  readonly name: string
  readonly durability: Durability
  figures(): Promise<EngineFigures>
  /** Absent where damaged blocks stay where they are until they are replaced. */
  readonly integrity?: EngineIntegrity | undefined
  /** Where the bytes of a block lie on this machine; absent where other processes cannot read them. */
  placeOf?(cid: CID): { readonly path: string, readonly offset: number, readonly byteLength: number } | undefined
}

/** What is said of acknowledged blocks: nothing where they are durable, as they should be. */
export function durabilityHeader ({ durability }: Pick<StorageEngine, 'durability'>): Readonly<Record<string, string>> {
  return durability === 'disk' ? {} : { [DURABILITY_HEADER]: durability }
}
