import { isErrorCode, isHoldfastError, silentLogger } from '@holdfast/core'
import { type Journal, type JournalFs, openJournal } from '@holdfast/pins'
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdir, mkdtemp, open, readdir, rename, rm, unlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { newIdentities } from '../../test/identities.ts'
import { cidOf, recordsOf, Replica, shown } from '../../test/replica.ts'
import { inviteRecord } from '../members/invite-book.ts'
import type { ClusterRecord, PinRecord } from '../record/record.ts'
import { signGenesis } from '../record/sign-record.ts'
import { openRecordStore, type RecordStore } from './record-store.ts'

const [founder, alice] = await newIdentities(2)
assert.ok(founder !== undefined && alice !== undefined)
const identity = founder
const genesis = signGenesis(founder, { name: 'ours', nonce: new Uint8Array(16), createdMs: 1 })

async function newFolder (context: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-'))
  context.after(async () => { await rm(folder, { recursive: true, force: true }) })
  return folder
}

async function storeOn (journal: Journal, minDeadRecords?: number, now: () => number = Date.now): Promise<RecordStore> {
  return await openRecordStore({ identity, journal, log: silentLogger, now }, { minDeadRecords })
}

function newPin (store: RecordStore, fields: { pinId?: Uint8Array, op?: 'put' | 'del', name?: string } = {}): PinRecord {
  assert.ok(store.cluster !== undefined)
  return store.cluster.writer.pin({ pinId: randomBytes(16), op: 'put', cid: cidOf(0), mode: 'recursive', copies: { min: 1, max: 2 }, origin: identity.peerId, createdMs: 1, ...fields })
}

function shownBy (store: RecordStore): unknown {
  assert.ok(store.cluster !== undefined)
  return shown(store.cluster.map)
}

test('records, invites and the number of the next record are found again', async (context) => {
  const folder = await newFolder(context)
  const invite = { secretHash: '00'.repeat(32), role: 'member' as const, expiresMs: Date.now() + 1000, usedBy: alice.peerId }
  let expected: unknown
  let seq = 0
  {
    await using journal = await openJournal(folder)
    await using store = await storeOn(journal)
    const { cluster } = store
    assert.equal(cluster, undefined)
    await assert.rejects(store.ingest([]), (err) => isErrorCode(err, 'INVALID'))
    await store.begin(genesis, [])
    const put = newPin(store)
    await store.write(put)
    await store.write(newPin(store, { pinId: put.fields.pinId, op: 'del' }))
    await store.write(newPin(store), [inviteRecord(invite)])
    expected = shownBy(store)
    seq = store.cluster?.writer.seq ?? 0
  }
  await using journal = await openJournal(folder)
  await using store = await storeOn(journal)
  assert.deepEqual(shownBy(store), expected)
  assert.equal(store.cluster?.writer.seq, seq)
  assert.deepEqual(store.invites.get(invite.secretHash), invite)
})

test('a node that starts with a clock of 1970 has all that it had', async (context) => {
  const folder = await newFolder(context)
  let expected: unknown
  {
    await using journal = await openJournal(folder)
    await using store = await storeOn(journal)
    await store.begin(genesis, [])
    await store.write(newPin(store))
    await store.write(store.cluster?.writer.member({ peer: alice.peerId, role: 'member', state: 'active' }) ?? assert.fail())
    expected = shownBy(store)
  }
  await using journal = await openJournal(folder)
  await using store = await storeOn(journal, 1, () => 0)
  assert.deepEqual(shownBy(store), expected)
})

test('a record counts, and is told of, only when it is durable', async (context) => {
  await using journal = await openJournal(await newFolder(context))
  await using store = await storeOn(journal)
  await store.begin(genesis, [])
  const told: ClusterRecord[] = []
  store.watch(({ records }) => { told.push(...records) })
  const record = newPin(store)
  const written = store.write(record)
  assert.equal(store.cluster?.map.counts.pins, 0)
  assert.deepEqual(told, [])
  await written
  assert.equal(store.cluster?.map.counts.pins, 1)
  assert.deepEqual(told, [record])
})

test('records that come from two members at once are written once', async (context) => {
  await using journal = await openJournal(await newFolder(context))
  await using store = await storeOn(journal)
  await store.begin(genesis, [])
  const other = new Replica(identity, genesis)
  const records = Array.from({ length: 10 }, () => other.put())
  await Promise.all([store.ingest(records), store.ingest(records)])
  const kinds = await Array.fromAsync(journal.replay(), ({ kind }) => kind)
  assert.deepEqual(kinds, ['record', ...records.map(() => 'record')])
})

test('the journal is compacted when most of it is without effect, while records come, and shows the same after', async (context) => {
  const folder = await newFolder(context)
  let expected: unknown
  let seq = 0
  {
    await using journal = await openJournal(folder)
    await using store = await storeOn(journal, 20)
    await store.begin(genesis, [])
    const pinId = randomBytes(16)
    for (let round = 0; round < 30; round++) await Promise.all([store.write(newPin(store, { pinId, name: `${round}` })), store.write(newPin(store))])
    for (const pin of [...store.cluster?.map.pins() ?? []].slice(5)) await store.write(newPin(store, { pinId: Buffer.from(pin.pinId, 'latin1'), op: 'del' }))
    expected = shownBy(store)
    seq = store.cluster?.writer.seq ?? 0
  }
  await using journal = await openJournal(folder)
  assert.ok((await Array.fromAsync(journal.replay())).length < 80, 'of 86 records some are gone')
  await using store = await storeOn(journal)
  assert.deepEqual(shownBy(store), expected)
  assert.equal(store.cluster?.writer.seq, seq)
})

test('a new cluster takes the place of the one before', async (context) => {
  const folder = await newFolder(context)
  const other = signGenesis(alice, { name: 'theirs', nonce: new Uint8Array(16), createdMs: 1 })
  {
    await using journal = await openJournal(folder)
    await using store = await storeOn(journal)
    await store.begin(genesis, [])
    await store.write(newPin(store))
    const invite = inviteRecord({ secretHash: '00'.repeat(32), role: 'admin', expiresMs: Date.now() + 1000 })
    await store.note([invite])
    store.invites.apply(invite.value)
    await store.begin(other, [])
    assert.equal(store.invites.get('00'.repeat(32)), undefined)
  }
  await using journal = await openJournal(folder)
  await using store = await storeOn(journal)
  assert.equal(store.cluster?.map.genesis.hash, other.hash)
  assert.equal(store.cluster?.map.counts.records, 0)
  assert.equal(store.invites.get('00'.repeat(32)), undefined, 'an invite lets nobody into another cluster')
})

test('what a removal made void has erased nothing when the journal is read again', async (context) => {
  const folder = await newFolder(context)
  {
    await using journal = await openJournal(folder)
    await using store = await storeOn(journal)
    await store.begin(genesis, [])
    const { cluster } = store
    assert.ok(cluster !== undefined)
    await store.write(cluster.writer.member({ peer: alice.peerId, role: 'member', state: 'active' }))
    const put = newPin(store)
    await store.write(put)
    const rogue = new Replica(alice, genesis)
    rogue.learn(recordsOf(cluster.map))
    await store.ingest([rogue.put({ pinId: put.fields.pinId, op: 'del' })])
    await store.write(cluster.writer.member({ peer: alice.peerId, role: 'member', state: 'removed', cutoff: 0 }))
    assert.equal([...cluster.map.pins()].length, 0, 'nobody gave it back yet')
  }
  await using journal = await openJournal(folder)
  await using store = await storeOn(journal)
  assert.equal([...store.cluster?.map.pins() ?? []].length, 1)
})

test('an invite to a cluster that was left lets nobody into the next one, also when the journal is read again after a removal', async (context) => {
  const folder = await newFolder(context)
  const secretHash = '00'.repeat(32)
  {
    await using journal = await openJournal(folder)
    await using store = await storeOn(journal)
    await store.begin(genesis, [])
    await store.note([inviteRecord({ secretHash, role: 'admin', expiresMs: Date.now() + 1000 })])
    await store.leave()
    const next = signGenesis(founder, { name: 'next', nonce: new Uint8Array(16).fill(1), createdMs: 1 })
    await store.begin(next, [])
    const { cluster } = store
    assert.ok(cluster !== undefined)
    await store.write(cluster.writer.member({ peer: alice.peerId, role: 'member', state: 'active' }))
    const theirs = new Replica(alice, next)
    theirs.learn(recordsOf(cluster.map))
    await store.ingest([theirs.put()])
    await store.write(cluster.writer.member({ peer: alice.peerId, role: 'member', state: 'removed', cutoff: 0 }))
  }
  await using journal = await openJournal(folder)
  await using store = await storeOn(journal)
  assert.equal(store.cluster?.map.genesis.fields.name, 'next')
  assert.equal(store.invites.get(secretHash), undefined)
})

test('the journal is read once, and anew with the members first only after a removal', async (context) => {
  await using journal = await openJournal(await newFolder(context))
  let readCount = 0
  const counting: Journal = {
    append: async (records) => { await journal.append(records) },
    compact: async (records, options) => { await journal.compact(records, options) },
    replay: () => {
      readCount++
      return journal.replay()
    },
    get byteLength () { return journal.byteLength },
    [Symbol.asyncDispose]: async () => {}
  }
  {
    await using store = await storeOn(journal)
    await store.begin(genesis, [])
    const { cluster } = store
    assert.ok(cluster !== undefined)
    await store.write(cluster.writer.member({ peer: alice.peerId, role: 'member', state: 'active' }))
    const theirs = new Replica(alice, genesis)
    theirs.learn(recordsOf(cluster.map))
    await store.ingest([theirs.put()])
    await store.write(newPin(store))
  }
  {
    await using store = await storeOn(counting)
    assert.equal(readCount, 1)
    assert.equal(store.cluster?.map.counts.pins, 2)
    await store.write(store.cluster?.writer.member({ peer: alice.peerId, role: 'member', state: 'removed', cutoff: 0 }) ?? assert.fail())
  }
  readCount = 0
  await using store = await storeOn(counting)
  assert.ok(readCount > 1, `${readCount} reads`)
  assert.equal(store.cluster?.map.counts.pins, 1, 'what the removal made void does not count')
})

test('a journal record that is none is CORRUPT', async (context) => {
  for (const record of [{ kind: 'record', value: 1 }, { kind: 'record', value: new Uint8Array(3) }, { kind: 'record-seq', value: null }, { kind: 'invite', value: {} }]) {
    await using journal = await openJournal(await newFolder(context))
    if (record.kind === 'record-seq') await journal.append([{ kind: 'record', value: genesis.bytes }])
    await journal.append([record])
    await assert.rejects(storeOn(journal), (err) => isErrorCode(err, 'CORRUPT'))
  }
})

/** A disk whose process dies: after so many operations each one fails, and nothing more is written. */
function dyingFs (operationCount: number): { fs: Partial<JournalFs>, isDead: () => boolean } {
  let count = 0
  const step = <Args extends readonly unknown[], Result> (run: (...args: Args) => Promise<Result>) => async (...args: Args): Promise<Result> => {
    if (++count > operationCount) throw Object.assign(new Error('EIO'), { code: 'EIO' })
    return await run(...args)
  }
  const fs: Partial<JournalFs> = {
    rename: step(rename),
    unlink: step(unlink),
    readdir: step(async (path: string) => await readdir(path)),
    mkdir: step(async (path: string, options: { recursive: true, mode: number }) => await mkdir(path, options)),
    open: step(async (path: string, flags: 'r' | 'r+' | 'w' | 'wx', mode?: number) => {
      const file = await open(path, flags, mode)
      const write = file.write.bind(file) as (bytes: Uint8Array, offset: number, byteLength: number, position: number) => Promise<{ bytesWritten: number }>
      return Object.assign(file, { write: step(write), datasync: step(file.datasync.bind(file)), sync: step(file.sync.bind(file)) })
    })
  }
  return { fs, isDead: () => count > operationCount }
}

test('a node that dies at any operation loses nothing that it acknowledged, and comes up whole', async (context) => {
  const parent = await newFolder(context)
  let deathCount = 0
  for (let operationCount = 8; ; operationCount += 3) {
    const folder = join(parent, String(operationCount))
    const { fs, isDead } = dyingFs(operationCount)
    const acknowledged = new Set<string>()
    await work(folder, fs, acknowledged).catch((err: unknown) => { if (!isHoldfastError(err) || !isDead()) throw err })
    await using journal = await openJournal(folder)
    await using store = await storeOn(journal)
    const pins = new Set([...store.cluster?.map.pins() ?? []].map(({ pinId }) => pinId))
    assert.deepEqual([...acknowledged].filter((pinId) => !pins.has(pinId)), [], `lost by death after ${operationCount} operations`)
    if (store.cluster !== undefined) {
      const replica = new Replica(identity, genesis)
      replica.learn(recordsOf(store.cluster.map))
      assert.deepEqual(shown(replica.map), shownBy(store))
    }
    if (!isDead()) break
    deathCount++
  }
  // How many operations share a write depends on how busy the machine is.
  assert.ok(deathCount > 8, `only ${deathCount} deaths`)
})

/** Puts, updates and compactions; notes each pin once its put was acknowledged. */
async function work (folder: string, fs: Partial<JournalFs>, acknowledged: Set<string>): Promise<void> {
  await using journal = await openJournal(folder, { fs })
  await using store = await storeOn(journal, 10)
  await store.begin(genesis, [])
  const put = async (name: string, pinId: Uint8Array = randomBytes(16)): Promise<void> => {
    await store.write(newPin(store, { name, pinId }))
    acknowledged.add(Buffer.from(pinId).toString('latin1'))
  }
  const pinId = randomBytes(16)
  for (let round = 0; round < 12; round++) {
    for (const result of await Promise.allSettled([put(`${round}`, pinId), put('other')])) if (result.status === 'rejected') throw result.reason
  }
}
