import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'

/** How long members may take for what they do by themselves, in ms: many times what they take on an idle machine. */
export const PATIENCE_MS = 120_000

/** How often it is looked at, in ms. */
const POLL_MS = 250

/** Waits until nothing is amiss; `look` tells what still is. */
export async function eventually (what: string, look: () => Promise<string | undefined>): Promise<void> {
  const endMs = performance.now() + PATIENCE_MS
  for (;;) {
    const amiss = await look().catch((err: unknown) => String(err))
    if (amiss === undefined) return
    assert.ok(performance.now() < endMs, `${what} within ${PATIENCE_MS / 1000} s: ${amiss}`)
    await sleep(POLL_MS)
  }
}

/** Waits until something is there. */
export async function found<T> (what: string, look: () => Promise<T | undefined>): Promise<T> {
  let value: T | undefined
  await eventually(what, async () => {
    value = await look()
    return value === undefined ? 'it is not there' : undefined
  })
  assert.ok(value !== undefined)
  return value
}
