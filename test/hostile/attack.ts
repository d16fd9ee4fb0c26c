import { setTimeout as sleep } from 'node:timers/promises'

/** What a scenario gives its attacker. */
export interface AttackOptions {
  readonly attack: string
  /** Multiaddr of the daemon under attack, with its peer id. */
  readonly victim: string
  /** Multiaddr of the honest daemon next to it. */
  readonly honest: string
  /** Root of the file that the victim is about to fetch. */
  readonly cid: string
  /** CIDs of blocks that the victim holds. */
  readonly held: readonly string[]
  /** When the process ends whatever happens, in milliseconds from its start. */
  readonly deadlineMs: number
  readonly parameters: Readonly<Record<string, string | number>>
}

/** An attack that goes on. */
export interface Attack extends AttackOptions {
  /** Fires when the attack shall end. */
  readonly signal: AbortSignal
  /** Says that the attack is under way; the honest fetch begins. */
  inPosition(): void
  /** Adds to a figure of the report. */
  count(what: string, more?: number): void
}

export type AttackProgram = (attack: Attack) => Promise<void>

/** What an attacker did and met with, by name. */
export type AttackReport = Readonly<Record<string, number>>

/** How long an attacker that was thrown out waits before it comes back, in milliseconds. */
const BACK_OFF_MS = 20

/** Does something again and again until the time is over. Being thrown out is part of the trade: it is counted, and tried again. */
export async function untilOver (attack: Attack, round: (index: number) => Promise<void>): Promise<void> {
  for (let index = 0; !attack.signal.aborted; index++) {
    try {
      await round(index)
      attack.count('rounds')
    } catch {
      if (attack.signal.aborted) return
      attack.count('failedRounds')
      await sleep(BACK_OFF_MS)
    }
  }
}

/** Waits until the time is over. */
export async function over ({ signal }: Attack): Promise<void> {
  if (!signal.aborted) await new Promise<void>((resolve) => { signal.addEventListener('abort', () => { resolve() }) })
}

export function numberOf ({ attack, parameters }: Attack, name: string): number {
  const value = parameters[name]
  if (typeof value !== 'number') throw new Error(`${attack} needs the number ${name}`)
  return value
}

export function textOf ({ attack, parameters }: Attack, name: string): string {
  const value = parameters[name]
  if (typeof value !== 'string') throw new Error(`${attack} needs the text ${name}`)
  return value
}
