import type { Logger } from '@holdfast/core'
import { open, type RootDatabase } from 'lmdb'
import { rm } from 'node:fs/promises'
import { type OnFatal, ReferenceStore } from './reference-store.ts'
import { breakSeal } from './seal.ts'

/**
 * Opens the index at `path`; one that was not closed in order, changed since, or is of another format is removed and made anew.
 *
 * @throws what opening a new one throws.
 */
export async function openReferenceStore (path: string, { log, onFatal }: { readonly log: Logger, readonly onFatal?: OnFatal | undefined }): Promise<ReferenceStore> {
  const found = await openSealed(path, onFatal)
  if (found?.isOfThisFormat === true) return found
  await found?.[Symbol.asyncDispose]()
  log.debug('The index of references is built anew', { path })
  await rm(path, { force: true })
  await rm(`${path}-lock`, { force: true })
  const store = new ReferenceStore(openEnvironment(path), path, onFatal)
  store.change(() => { store.markFormat() })
  return store
}

async function openSealed (path: string, onFatal: OnFatal | undefined): Promise<ReferenceStore | undefined> {
  return await breakSeal(path) ? new ReferenceStore(openEnvironment(path), path, onFatal) : undefined
}

/**
 * Nothing is synced: an index that was not closed in order is never opened again, and a power cut after the end leaves either
 * what the seal says or what it does not fit. So a change costs no wait for the disk.
 */
function openEnvironment (path: string): RootDatabase<Buffer, Buffer> {
  return open<Buffer, Buffer>({ path, noSubdir: true, encoding: 'binary', keyEncoding: 'binary', maxDbs: 16, noSync: true, overlappingSync: false })
}
