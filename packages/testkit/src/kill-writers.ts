import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'

/** Where a program that was started by `killWriters` writes. */
export const KILLED_WRITER_FOLDER = 'HOLDFAST_TEST_WRITE_FOREVER'

export interface KillWritersOptions {
  /** The program: writes into the folder that `KILLED_WRITER_FOLDER` names for ever, and prints a line for each thing that was acknowledged. */
  readonly program: string
  readonly rounds: number
  /** How long it writes at most after the first line, in milliseconds. */
  readonly maxMs: number
  /** Looks whether all is there that was acknowledged, after each kill. */
  check(folder: string, acknowledged: ReadonlySet<string>): Promise<void>
}

/** Starts writers on one folder, one after the other, and kills each in the midst of its work. */
export async function killWriters ({ program, rounds, maxMs, check }: KillWritersOptions): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-kill-'))
  const acknowledged = new Set<string>()
  for (let round = 0; round < rounds; round++) {
    const before = acknowledged.size
    for (const line of await writeUntilKilled(program, folder, maxMs)) acknowledged.add(line)
    assert.ok(acknowledged.size > before, 'the writer got to work')
    await check(folder, acknowledged)
  }
  await rm(folder, { recursive: true })
}

async function writeUntilKilled (program: string, folder: string, maxMs: number): Promise<string[]> {
  const printed: string[] = []
  const child = spawn(process.execPath, [program], { env: { [KILLED_WRITER_FOLDER]: folder }, stdio: ['ignore', 'pipe', 'inherit'] })
  const exited = once(child, 'exit')
  const lines = createInterface({ input: child.stdout })
  lines.on('line', (line) => { printed.push(line) })
  const drained = once(lines, 'close')
  await Promise.race([once(lines, 'line'), drained])
  await sleep(randomInt(Math.ceil(maxMs / 10), maxMs))
  child.kill('SIGKILL')
  assert.deepEqual(await exited, [null, 'SIGKILL'], 'it was our signal that ended the writer')
  await drained
  return printed
}
