import type { Client } from './client.ts'
import type { Ledger } from './ledger.ts'
import { contentPath } from './workload.ts'

/** Files that are read back at the same time. */
const READS_AT_ONCE = 8

/**
 * Compares a daemon that was started after a crash with what was acknowledged before it, and returns every difference.
 *
 * Requests without an answer may have happened or not; whatever they pinned must be whole.
 */
export async function differences (client: Client, ledger: Ledger): Promise<string[]> {
  const found: string[] = []
  const pinned = new Set(await client.pins())
  for (const { cid, state } of ledger.entries) if (state === 'pinned' && !pinned.has(cid)) found.push(`the pin of ${cid} is lost`)
  for (const cid of pinned) if (ledger.isUnpinned(cid)) found.push(`${cid} was unpinned and is pinned again`)

  const openAddCount = ledger.openAddCount
  ledger.settle(pinned)
  found.push(...await readBack(client, ledger))
  const known = new Set(ledger.entries.map(({ cid }) => cid))
  const unknown = [...pinned].filter((cid) => !known.has(cid))
  if (unknown.length > openAddCount) found.push(`${unknown.length} unknown roots are pinned after ${openAddCount} adds without an answer`)
  for (const cid of unknown) {
    await client.walk(cid).catch((err: unknown) => { found.push(`${cid} is pinned and not whole: ${String(err)}`) })
    await client.unpin(cid)
    ledger.unpinUnknown(cid)
  }
  found.push(...(await client.verify()).map((damage) => `damaged ${damage}`))
  return found
}

async function readBack (client: Client, ledger: Ledger): Promise<string[]> {
  const found: string[] = []
  const files = ledger.entries.filter(({ state }) => state === 'pinned').flatMap(({ cid, files }) => [...files].map(([path, bytes]) => ({ path: contentPath(cid, path), bytes }))).values()
  await Promise.all(Array.from({ length: READS_AT_ONCE }, async () => {
    for (const { path, bytes } of files) {
      const read = await client.read(path).catch((err: unknown) => `${path} cannot be read: ${String(err)}`)
      if (typeof read === 'string') found.push(read)
      else if (!read.equals(bytes)) found.push(`${path} has other bytes`)
    }
  }))
  return found
}
