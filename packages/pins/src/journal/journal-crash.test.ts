import { MemoryBlockstore } from '@holdfast/blockstore'
import { openInPlaceBlockstore } from '@holdfast/blockstore/in-place'
import { Block, isErrorCode, isHoldfastError } from '@holdfast/core'
import { seededRandom } from '@holdfast/testkit'
import type { CID } from 'multiformats/cid'
import assert from 'node:assert/strict'
import { basename } from 'node:path'
import { test } from 'node:test'
import { openJournal } from './journal.ts'
import type { JournalFile, JournalFs } from './journal-fs.ts'
import type { JournalRecord } from './record.ts'

const FOLDER = '/data/journal'
const SECTOR_BYTES = 512

interface Content {
  bytes: Uint8Array
  durable: Uint8Array
  /** What it was between the last sync and now; any of it may have got to the disk. */
  past: Uint8Array[]
}

function newContent (bytes: Uint8Array = new Uint8Array()): Content {
  return { bytes, durable: bytes, past: [] }
}

interface Fault {
  /** Which operation fails, counted from 1. */
  at: number
  code: string
}

/**
 * A disk in memory with one folder. At a power cut it forgets what was not synced: of contents any
 * sectors may be left, in any order, the others zero; of names any of the changes since the last sync of the folder.
 */
class CrashDisk implements JournalFs {
  names = new Map<string, Content>()
  /** What each name may stand for after a power cut: what it stood for at the last sync of the folder, or at any time since. */
  #possibleNames = new Map<string, Set<Content | undefined>>()
  operationCount = 0
  openCount = 0
  syncCount = 0
  syncsAfterFault = 0
  #cutAt: number
  #fault: Fault | undefined

  constructor ({ cutAt = Infinity, fault }: { cutAt?: number, fault?: Fault | undefined } = {}) {
    this.#cutAt = cutAt
    this.#fault = fault
  }

  get isCut (): boolean {
    return this.operationCount >= this.#cutAt
  }

  /** Cuts the power after so many more operations. */
  cutAfter (operationCount: number): void {
    this.#cutAt = this.operationCount + operationCount
  }

  get hasFailed (): boolean {
    return this.#fault !== undefined && this.operationCount >= this.#fault.at
  }

  /** What is left of it after a power cut, under one of the many orders in which a disk may have written. */
  afterCut (random: () => number, cutAt: number = Infinity): CrashDisk {
    const disk = new CrashDisk({ cutAt })
    for (const [name, possible] of this.#possibleNames) {
      const content = [...possible][Math.floor(random() * possible.size)]
      if (content !== undefined) disk.names.set(name, surviving(content, random))
    }
    disk.#syncNames()
    return disk
  }

  /** The same disk after its process was killed: nothing is lost, handles are gone. */
  afterKill (): CrashDisk {
    const disk = new CrashDisk()
    disk.names = this.names
    disk.#possibleNames = this.#possibleNames
    return disk
  }

  async mkdir (): Promise<undefined> {
    await this.step()
  }

  async readdir (): Promise<string[]> {
    await this.step()
    return [...this.names.keys()]
  }

  async open (path: string, flags: 'r' | 'r+' | 'w' | 'wx'): Promise<JournalFile> {
    await this.step()
    this.openCount++
    if (path === FOLDER) return new CrashFile(this, newContent(), () => { this.#syncNames() })
    const name = basename(path)
    let content = this.names.get(name)
    assert.ok(flags !== 'wx' || content === undefined, `${name} exists`)
    if (content === undefined || flags === 'w') {
      assert.ok(flags === 'w' || flags === 'wx', `${name} is absent`)
      content = newContent()
      this.#rename(name, content)
    }
    return new CrashFile(this, content, () => {})
  }

  async rename (from: string, to: string): Promise<void> {
    await this.step()
    const content = this.names.get(basename(from))
    assert.ok(content !== undefined)
    this.#rename(basename(to), content)
    this.#rename(basename(from), undefined)
  }

  async unlink (path: string): Promise<void> {
    await this.step()
    if (!this.names.has(basename(path))) throw failure('ENOENT')
    this.#rename(basename(path), undefined)
  }

  #rename (name: string, content: Content | undefined): void {
    this.#possibleNames.set(name, (this.#possibleNames.get(name) ?? new Set([undefined])).add(content))
    if (content === undefined) this.names.delete(name)
    else this.names.set(name, content)
  }

  #syncNames (): void {
    this.#possibleNames = new Map([...this.names].map(([name, content]) => [name, new Set([content])]))
  }

  /** Each operation takes effect a little later, as with threads, and none after the cut. */
  async step (isSync: boolean = false): Promise<void> {
    await Promise.resolve()
    if (this.isCut) throw failure('EIO')
    if (isSync) {
      this.syncCount++
      if (this.hasFailed) this.syncsAfterFault++
    }
    if (++this.operationCount === this.#fault?.at) throw failure(this.#fault.code)
  }
}

class CrashFile implements JournalFile {
  readonly #disk: CrashDisk
  readonly #content: Content
  readonly #onSync: () => void

  constructor (disk: CrashDisk, content: Content, onSync: () => void) {
    this.#disk = disk
    this.#content = content
    this.#onSync = onSync
  }

  async read (into: Uint8Array, offset: number, byteLength: number, position: number): Promise<{ bytesRead: number }> {
    await this.#disk.step()
    const bytes = this.#content.bytes.subarray(position, position + byteLength)
    into.set(bytes, offset)
    return { bytesRead: bytes.byteLength }
  }

  /** Writes in pieces of a few sectors, as a system may; a disk that fills up keeps the first of them. */
  async write (bytes: Uint8Array, offset: number, byteLength: number, position: number): Promise<{ bytesWritten: number }> {
    const taken = Math.min(byteLength, 3 * SECTOR_BYTES + 7)
    await this.#disk.step()
    const grown = new Uint8Array(Math.max(this.#content.bytes.byteLength, position + taken))
    grown.set(this.#content.bytes)
    grown.set(bytes.subarray(offset, offset + taken), position)
    this.#change(grown)
    return { bytesWritten: taken }
  }

  async stat (): Promise<{ size: number }> {
    await this.#disk.step()
    return { size: this.#content.bytes.byteLength }
  }

  async truncate (byteLength: number): Promise<void> {
    await this.#disk.step()
    this.#change(this.#content.bytes.slice(0, byteLength))
  }

  #change (bytes: Uint8Array): void {
    this.#content.past.push(this.#content.bytes)
    this.#content.bytes = bytes
  }

  async datasync (): Promise<void> {
    await this.#disk.step(true)
    this.#content.durable = this.#content.bytes
    this.#content.past = []
    this.#onSync()
  }

  async sync (): Promise<void> {
    await this.datasync()
  }

  /** Always lets go, as the system does; what it says of the disk is another matter. */
  async close (): Promise<void> {
    this.#disk.openCount--
    await this.#disk.step()
  }

  async [Symbol.asyncDispose] (): Promise<void> {
    await this.close()
  }
}

function surviving ({ bytes, durable, past }: Content, random: () => number): Content {
  if (bytes === durable) return newContent(bytes)
  const latest = [bytes, ...past][Math.floor(random() * (past.length + 1))] ?? bytes
  const [shorter = 0, longer = 0] = [latest.byteLength, durable.byteLength].sort((a, b) => a - b)
  const byteLength = random() < 0.6 ? [shorter, longer][Math.floor(random() * 2)] ?? 0 : shorter + Math.floor(random() * (longer - shorter + 1))
  const left = new Uint8Array(byteLength)
  for (let at = 0; at < byteLength; at += SECTOR_BYTES) {
    const source = random() < 0.5 ? latest : durable
    left.set(source.subarray(at, Math.min(at + SECTOR_BYTES, byteLength)), at)
  }
  return newContent(left)
}

function failure (code: string): Error {
  return Object.assign(new Error(code), { code })
}

const PARTS_PER_BATCH = 3

/** A batch that shows when it was torn. The filler makes some of them span sectors. */
function batchOf (id: number): JournalRecord[] {
  return Array.from({ length: PARTS_PER_BATCH }, (_, part) => ({ kind: 'part', value: { id, part, filler: new Uint8Array((id * 97) % 900) } }))
}

/** What the test knows to be true of the journal. */
interface Ledger {
  acknowledged: Set<number>
  attempted: Set<number>
}

/** Overlapping and single appends, new logs, and compactions with appends under way. */
async function work (fs: JournalFs, ledger: Ledger): Promise<void> {
  await using journal = await openJournal(FOLDER, { fs, maxLogBytes: 3000 })
  let nextId = Math.max(-1, ...ledger.attempted) + 1
  const append = async (): Promise<void> => {
    const id = nextId++
    ledger.attempted.add(id)
    await journal.append(batchOf(id))
    ledger.acknowledged.add(id)
  }
  const compact = async (): Promise<void> => {
    const ids = [...ledger.acknowledged]
    await journal.compact([{ kind: 'summary', value: { ids, filler: new Uint8Array(2000) } }], { kinds: ['summary', 'part'] })
  }
  await journal.append([{ kind: 'foreign', value: 'kept' }])
  await append()
  await all([append(), append(), append()])
  await append()
  await all([compact(), append(), append()])
  await all([append(), append()])
  await all([compact(), append(), compact()])
  await append()
}

/** Waits for all, then rejects with the first failure: nothing is left running. */
async function all (running: ReadonlyArray<Promise<void>>): Promise<void> {
  for (const result of await Promise.allSettled(running)) if (result.status === 'rejected') throw result.reason
}

interface Found { ids: Set<number>, torn: number[], foreignCount: number }

async function inspect (fs: JournalFs): Promise<Found> {
  await using journal = await openJournal(FOLDER, { fs })
  const parts = new Map<number, Set<unknown>>()
  const ids = new Set<number>()
  let foreignCount = 0
  for await (const { kind, value } of journal.replay()) {
    assert.ok(typeof value === 'string' || (value !== null && typeof value === 'object'))
    if (kind === 'foreign') foreignCount++
    else if (kind === 'summary' && typeof value === 'object' && 'ids' in value && Array.isArray(value.ids)) for (const id of value.ids) ids.add(Number(id))
    else if (typeof value === 'object' && 'id' in value && 'part' in value) parts.set(Number(value.id), (parts.get(Number(value.id)) ?? new Set()).add(value.part))
  }
  for (const id of parts.keys()) ids.add(id)
  return { ids, torn: [...parts].filter(([, found]) => found.size !== PARTS_PER_BATCH).map(([id]) => id), foreignCount }
}

/** Ways to forget that are tried for each moment of a cut. */
const SEEDS_PER_CUT = 4

/** Cuts the power after every operation of the work and counts what was lost. */
async function cutEverywhere (weaken: (disk: CrashDisk) => JournalFs = (disk) => disk): Promise<{ cutCount: number, lostCount: number }> {
  let lostCount = 0
  for (let cutAt = 1; ; cutAt++) {
    const disk = new CrashDisk({ cutAt })
    const ledger: Ledger = { acknowledged: new Set(), attempted: new Set() }
    await work(weaken(disk), ledger).catch((err: unknown) => { if (!disk.isCut) throw err })
    if (!disk.isCut) return { cutCount: cutAt - 1, lostCount }
    for (let seed = 0; seed < SEEDS_PER_CUT; seed++) {
      const random = seededRandom(cutAt * SEEDS_PER_CUT + seed)
      // The machine goes down again while it recovers, and then once more comes up.
      const again = disk.afterCut(random, Math.floor(random() * 20))
      await inspect(again).catch((err: unknown) => { if (!again.isCut) throw err })
      const { ids, torn, foreignCount } = await inspect(again.afterCut(random))
      assert.deepEqual(torn, [], `batches torn by cut ${cutAt}, seed ${seed}`)
      assert.deepEqual([...ids].filter((id) => !ledger.attempted.has(id)), [], 'batches out of nowhere')
      lostCount += [...ledger.acknowledged].filter((id) => !ids.has(id)).length
      if (ledger.acknowledged.size > 0 && foreignCount === 0) lostCount++
    }
  }
}

test('whatever was acknowledged outlives a power cut at any operation, whole, also one during recovery', async () => {
  const { cutCount, lostCount } = await cutEverywhere()
  assert.equal(lostCount, 0)
  assert.ok(cutCount > 100, `only ${cutCount} operations`)
})

/** Journals that leave a step out: each must be caught, or the simulation proves nothing. */
const WEAKENED: Record<string, (disk: CrashDisk) => JournalFs> = {
  'without syncs of logs': (disk) => skipSync(disk, (path) => path.endsWith('.log')),
  'without syncs of snapshots': (disk) => skipSync(disk, (path) => path.endsWith('.tmp')),
  'without syncs of the folder': (disk) => skipSync(disk, (path) => path === FOLDER)
}

for (const [name, weaken] of Object.entries(WEAKENED)) {
  test(`the simulated power cut notices a journal ${name}`, async () => {
    // Broken this way it loses batches, or does not open any more.
    const noticed = await cutEverywhere(weaken).then(({ lostCount }) => lostCount > 0, (err: unknown) => isErrorCode(err, 'CORRUPT'))
    assert.ok(noticed)
  })
}

function skipSync (disk: CrashDisk, isSkipped: (path: string) => boolean): JournalFs {
  return adjusted(disk, (path, file) => isSkipped(path) ? Object.assign(file, { sync: async () => {}, datasync: async () => {} }) : file)
}

/** The disk with its files changed as they are opened. */
function adjusted (disk: CrashDisk, adjust: (path: string, file: JournalFile) => JournalFile): JournalFs {
  return {
    mkdir: async () => await disk.mkdir(),
    readdir: async () => await disk.readdir(),
    rename: async (from, to) => { await disk.rename(from, to) },
    unlink: async (path) => { await disk.unlink(path) },
    open: async (path, flags) => adjust(path, await disk.open(path, flags))
  }
}

test('a process killed at any operation loses nothing that was acknowledged', async () => {
  for (let cutAt = 1; ; cutAt++) {
    const disk = new CrashDisk({ cutAt })
    const ledger: Ledger = { acknowledged: new Set(), attempted: new Set() }
    await work(disk, ledger).catch((err: unknown) => { if (!disk.isCut) throw err })
    if (!disk.isCut) break
    const { ids, torn } = await inspect(disk.afterKill())
    assert.deepEqual(torn, [])
    assert.deepEqual([...ledger.acknowledged].filter((id) => !ids.has(id)), [], `lost by kill ${cutAt}`)
  }
})

test('what a journal shows after a kill outlives a power cut: others have acted upon it', async () => {
  let shownCount = 0
  for (let cutAt = 1; ; cutAt++) {
    for (let seed = 0; seed < 2; seed++) {
      const disk = new CrashDisk({ cutAt })
      await work(disk, { acknowledged: new Set(), attempted: new Set() }).catch((err: unknown) => { if (!disk.isCut) throw err })
      if (!disk.isCut) {
        assert.ok(shownCount > 100)
        return
      }
      const killed = disk.afterKill()
      // On a full disk a journal opens without its mark.
      const shown = await inspect(seed === 0 ? killed : fullDisk(killed)).catch((err: unknown) => {
        assert.ok(isErrorCode(err, 'LIMIT'))
        return { ids: new Set<number>() }
      })
      const later = await inspect(killed.afterCut(seededRandom(cutAt * 2 + seed)))
      assert.deepEqual([...shown.ids].filter((id) => !later.ids.has(id)), [], `shown after kill ${cutAt}, lost by seed ${seed}`)
      shownCount += shown.ids.size
    }
  }
})

function fullDisk (disk: CrashDisk): JournalFs {
  return adjusted(disk, (_path, file) => Object.assign(file, { write: async () => { throw failure('ENOSPC') } }))
}

/** Appends and compacts, going on after each failure; returns how each ended. */
async function workOn (fs: JournalFs, ledger: Ledger, onFatal: () => void): Promise<unknown[]> {
  const failures: unknown[] = []
  const tried = async (step: Promise<void>): Promise<void> => { await step.catch((err: unknown) => { failures.push(err) }) }
  const journal = await openJournal(FOLDER, { fs, maxLogBytes: 2000, onFatal })
  const append = async (id: number): Promise<void> => {
    await journal.append(batchOf(id))
    ledger.acknowledged.add(id)
  }
  for (let id = 0; id < 11; id++) {
    ledger.attempted.add(id)
    await tried(append(id))
    if (id % 5 === 4) await tried(journal.compact([{ kind: 'summary', value: { ids: [...ledger.acknowledged] } }], { kinds: ['summary', 'part'] }))
  }
  await tried((async () => { await journal[Symbol.asyncDispose]() })())
  return failures
}

for (const code of ['EIO', 'ENOSPC', 'EMFILE']) {
  test(`every operation may fail once with ${code}: a typed error, nothing acknowledged lost, nothing left open`, async () => {
    let fatalRunCount = 0
    let passingRunCount = 0
    for (let at = 1; ; at++) {
      const disk = new CrashDisk({ fault: { at, code } })
      const ledger: Ledger = { acknowledged: new Set(), attempted: new Set() }
      let fatalCount = 0
      const failures = await workOn(disk, ledger, () => { fatalCount++ }).catch((err: unknown) => [err])
      if (!disk.hasFailed) break

      for (const err of failures) assert.ok(isHoldfastError(err), `operation ${at} rejects with ${String(err)}`)
      assert.equal(disk.openCount, 0, `operation ${at} leaves a file open`)
      if (fatalCount > 0) {
        fatalRunCount++
        assert.equal(fatalCount, 1)
        assert.equal(disk.syncsAfterFault, 0, `operation ${at}: a sync after the disk failed`)
      } else if (failures.some((err) => isErrorCode(err, 'LIMIT')) && ledger.attempted.size > 0) {
        passingRunCount++
        assert.ok(failures.length <= 1, `operation ${at}: later calls fail too`)
      }
      const { ids, torn } = await inspect(disk.afterKill())
      assert.deepEqual(torn, [])
      assert.deepEqual([...ledger.acknowledged].filter((id) => !ids.has(id)), [], `lost by failure ${at}`)
    }
    assert.ok(fatalRunCount > 0, 'some failures are final')
    assert.equal(passingRunCount > 0, code !== 'EIO', 'want of space or files passes')
  })
}

test('a power cut soon after the disk was full loses nothing either', async () => {
  let refusedCount = 0
  for (let at = 1; ; at++) {
    const fault: Fault = { at, code: 'ENOSPC' }
    const disk = new CrashDisk({ fault })
    const failures = await workOn(disk, { acknowledged: new Set(), attempted: new Set() }, () => {}).catch((err: unknown) => [err])
    if (!disk.hasFailed) break
    if (!failures.some((err) => isErrorCode(err, 'LIMIT'))) continue
    refusedCount++
    for (let cutAt = at + 1; cutAt < at + 14; cutAt++) {
      const cut = new CrashDisk({ fault, cutAt })
      const ledger: Ledger = { acknowledged: new Set(), attempted: new Set() }
      await workOn(cut, ledger, () => {}).catch(() => {})
      for (const seed of [0, 1]) {
        const { ids, torn } = await inspect(cut.afterCut(seededRandom(at * 1000 + cutAt * 2 + seed)))
        assert.deepEqual(torn, [])
        assert.deepEqual([...ledger.acknowledged].filter((id) => !ids.has(id)), [], `full at ${at}, cut at ${cutAt}`)
      }
    }
  }
  assert.ok(refusedCount > 10, `only ${refusedCount} refusals`)
})

test('a log that could not be created does not come back and make the one before it pass for closed', async () => {
  for (let seed = 0; seed < 50; seed++) {
    const disk = new CrashDisk()
    const full = adjusted(disk, (path, file) => path.endsWith('2.log') ? Object.assign(file, { write: async () => { throw failure('ENOSPC') } }) : file)
    const journal = await openJournal(FOLDER, { fs: full })
    await journal.append(batchOf(0))
    await assert.rejects(journal.compact([]), (err) => isErrorCode(err, 'LIMIT'))
    // Written in two pieces, and not synced any more.
    disk.cutAfter(2)
    await assert.rejects(journal.append(batchOf(9)), (err) => isErrorCode(err, 'UNAVAILABLE'))
    assert.ok((await inspect(disk.afterCut(seededRandom(seed)))).ids.has(0))
  }
})

/** What is known of each reference: where it leads, that it is gone, or nothing while a call is under way. */
type ReferenceLedger = Map<number, number | 'gone' | 'unknown'>

async function blockFor (id: number): Promise<CID> {
  return (await Block.of(Uint8Array.of(id))).cid
}

/** References that come, move, go and come back, with new logs and compactions of others under way. */
async function referringWork (fs: JournalFs, ledger: ReferenceLedger): Promise<void> {
  await using journal = await openJournal(FOLDER, { fs, maxLogBytes: 1000 })
  await using store = await openInPlaceBlockstore({ blocks: new MemoryBlockstore(), records: journal })
  const change = async (ids: readonly number[], known: number | 'gone'): Promise<void> => {
    for (const id of ids) ledger.set(id, 'unknown')
    const cids = await Promise.all(ids.map(blockFor))
    if (known === 'gone') await store.deleteMany(cids)
    else await store.refer(cids.map((cid, index) => ({ cid, path: `/file-${index % 2}`, offset: known, byteLength: 1 })))
    for (const id of ids) ledger.set(id, known)
  }
  const others = async (): Promise<void> => { await journal.compact([{ kind: 'foreign', value: 'kept' }], { kinds: ['foreign'] }) }
  await change([0, 1, 2, 3], 10)
  await all([change([4, 5, 6], 20), change([0, 1], 'gone'), others()])
  await all([change([0], 30), change([7, 8], 10), change([4], 'gone')])
  await all([others(), change([5], 40), change([1], 50)])
  await change([2, 3, 5, 6], 'gone')
  await change([2], 60)
}

test('what was referred to in place outlives a power cut at any operation, and what was deleted stays away', async () => {
  for (let cutAt = 1; ; cutAt++) {
    const disk = new CrashDisk({ cutAt })
    const ledger: ReferenceLedger = new Map()
    await referringWork(disk, ledger).catch((err: unknown) => { if (!disk.isCut) throw err })
    for (let seed = 0; seed < SEEDS_PER_CUT; seed++) {
      await using journal = await openJournal(FOLDER, { fs: disk.afterCut(seededRandom(cutAt * SEEDS_PER_CUT + seed)) })
      const store = await openInPlaceBlockstore({ blocks: new MemoryBlockstore(), records: journal })
      for (const [id, known] of ledger) {
        const offset = store.referenceTo(await blockFor(id))?.offset
        if (known !== 'unknown') assert.equal(offset, known === 'gone' ? undefined : known, `reference ${id} after cut ${cutAt}, seed ${seed}`)
      }
    }
    if (disk.isCut) continue
    assert.ok(cutAt > 60, `only ${cutAt} operations`)
    return
  }
})
