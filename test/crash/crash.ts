import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { socketPathOf } from '../../apps/node/src/repository-path.ts'
import type { TestNode } from '../harness.ts'
import { apiClient, type Client, commandClient } from './client.ts'
import type { Ledger } from './ledger.ts'
import { runWorkload } from './workload.ts'

export interface CrashOptions {
  readonly ledger: Ledger
  readonly scratch: string
  readonly round: number
  /** How long the clients work before the crash, in milliseconds; longer where a busy machine has let them do nothing. */
  readonly afterMs: number
  /** Brings the crash about, and resolves once the daemon has ended. */
  readonly crash: () => Promise<void>
}

/** How long clients may take until a pin is acknowledged, in milliseconds. */
const MAX_WORK_MS = 60_000

/** The client of a daemon that programs use. */
export function clientOf ({ repository }: TestNode): Client {
  return apiClient(socketPathOf(repository, process.env.XDG_RUNTIME_DIR))
}

/** Lets several clients work at a daemon, crashes it under them, and waits until they have noticed. */
export async function workUntilCrash (node: TestNode, { ledger, scratch, round, afterMs, crash }: CrashOptions): Promise<void> {
  const [doomed, over] = [new AbortController(), new AbortController()]
  const api = clientOf(node)
  const clients = { first: api, second: api, third: api, person: commandClient(node, scratch) }
  const working = runWorkload({ ledger, clients, collector: api, scratch, round, doomed: doomed.signal, over: over.signal })
  try {
    // A failure of the workload ends the test at once.
    await Promise.race([workedFor(afterMs, ledger, round), working])
    assert.equal(node.process.exitCode, null, `the daemon ended by itself: ${node.log()}`)
    doomed.abort()
    await crash()
  } finally {
    doomed.abort()
    over.abort()
  }
  await working
}

/** Resolves after this time, when there are as many acknowledged pins as rounds: without any a crash has nothing to lose. */
async function workedFor (afterMs: number, ledger: Ledger, round: number): Promise<void> {
  await sleep(afterMs)
  for (let waitedMs = 0; ledger.counts.pins < round && waitedMs < MAX_WORK_MS; waitedMs += 10) await sleep(10)
}
