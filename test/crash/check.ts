import type { TestNode } from '../harness.ts'
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
export async function differences (node: TestNode, client: Client, ledger: Ledger): Promise<string[]> {
  const found: string[] = []
  const pinned = new Set((await node.ok(['pin', 'ls', '-q'])).split('\n').filter((cid) => cid !== ''))
  for (const { cid, state } of ledger.entries) if (state === 'pinned' && !pinned.has(cid)) found.push(`the pin of ${cid} is lost`)
  for (const cid of pinned) if (ledger.isUnpinned(cid)) found.push(`${cid} was unpinned and is pinned again`)

  const openAddCount = ledger.openAddCount
  ledger.settle(pinned)
  found.push(...await readBack(client, ledger))
  const known = new Set(ledger.entries.map(({ cid }) => cid))
  const unknown = [...pinned].filter((cid) => !known.has(cid))
  if (unknown.length > openAddCount) found.push(`${unknown.length} unknown roots are pinned after ${openAddCount} adds without an answer`)
  for (const cid of unknown) {
    const { status, stderr } = await node.run(['stat', cid])
    if (status !== 0) found.push(`${cid} is pinned and not whole: ${stderr}`)
    await client.unpin(cid)
    ledger.unpinUnknown(cid)
  }
  const verified = await node.run(['repo', 'verify'])
  if (verified.status !== 0) found.push(`repo verify ended with status ${verified.status}: ${verified.stdout}${verified.stderr}`)
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
