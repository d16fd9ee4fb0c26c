import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after } from 'node:test'
import { testBlockstore } from '../conformance.ts'
import { openPackBlockstore } from './open-pack-blockstore.ts'

const folders = new Map<unknown, string>()
after(async () => { for (const folder of folders.values()) await rm(folder, { recursive: true, force: true }) })

testBlockstore('PackBlockstore', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-pack-'))
  const store = await openPackBlockstore(folder)
  folders.set(store, folder)
  return store
}, {
  reopen: async (store) => {
    const folder = folders.get(store) ?? ''
    await store[Symbol.asyncDispose]()
    return await openPackBlockstore(folder)
  }
})
