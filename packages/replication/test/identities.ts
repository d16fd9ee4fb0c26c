import { openIdentity, type Identity } from '@holdfast/network'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** Identities of nodes, the same number of real keys, in the order of their peer ids. */
export async function newIdentities (count: number): Promise<Identity[]> {
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-'))
  try {
    const identities = await Promise.all(Array.from({ length: count }, async (_, index) => await openIdentity(join(folder, `${index}.key`))))
    return identities.sort((a, b) => a.peerId < b.peerId ? -1 : 1)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}
