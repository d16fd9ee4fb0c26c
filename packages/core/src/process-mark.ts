import { readFile } from 'node:fs/promises'
import { hostname } from 'node:os'

/** Tells a process from all others, also from later ones of the same number. */
export interface ProcessMark {
  readonly pid: number
  readonly host: string
  /** Tells this process from an earlier one of the same number; empty where the system does not say. */
  readonly started: string
}

/** The mark of this process. */
export async function ownMark (): Promise<ProcessMark> {
  return { pid: process.pid, host: hostname(), started: await startOf(process.pid) }
}

/** Reports whether the process is there. One of another machine counts as alive: it cannot be seen from here. */
export async function isAlive ({ pid, host, started }: ProcessMark): Promise<boolean> {
  if (host !== hostname()) return true
  try {
    process.kill(pid, 0)
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && cause.code === 'ESRCH') return false
  }
  return started === '' || await startOf(pid) === started
}

/** The start time of a process in clock ticks since boot, field 22 of Linux' /proc/PID/stat. */
async function startOf (pid: number): Promise<string> {
  try {
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8')
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? ''
  } catch {
    return ''
  }
}
