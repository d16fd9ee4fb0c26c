import { Block, CODECS, isErrorCode, type Logger, silentLogger } from '@holdfast/core'
import fc from 'fast-check'
import { CID } from 'multiformats/cid'
import { create as createDigest } from 'multiformats/hashes/digest'
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import { type Journal, openJournal } from './journal/journal.ts'
import { MAX_PIN_NAME_BYTES, type Pin } from './pin-record.ts'
import { openPinSet, type PinSet } from './pin-set.ts'

const scratch = await mkdtemp(join(tmpdir(), 'holdfast-pins-'))
after(async () => { await rm(scratch, { recursive: true }) })

let folderCount = 0
function newFolder (): string {
  return join(scratch, String(folderCount++))
}

const cids = await Promise.all(Array.from({ length: 8 }, async (_, index) => (await Block.of(Uint8Array.of(index))).cid))

function cidAt (index: number): CID {
  const cid = cids[index % cids.length]
  assert.ok(cid !== undefined)
  return cid
}

/** Opens pins on a journal of their own; both are closed together. */
async function openPins (folder: string, options: Parameters<typeof openPinSet>[1] = {}): Promise<{ pins: PinSet, journal: Journal } & AsyncDisposable> {
  const journal = await openJournal(folder)
  const pins = await openPinSet(journal, options)
  return {
    pins,
    journal,
    [Symbol.asyncDispose]: async () => {
      await pins[Symbol.asyncDispose]()
      await journal[Symbol.asyncDispose]()
    }
  }
}

function idsOf (pins: Iterable<Pin>): string[] {
  return [...pins].map(({ id }) => id)
}

test('a pin is there when add resolves, and after the set was opened anew', async () => {
  const folder = newFolder()
  let added: Pin
  {
    await using opened = await openPins(folder)
    added = await opened.pins.add({ cid: cidAt(0), kind: 'recursive', name: 'holiday photos' })
    assert.deepEqual([...opened.pins.list()], [added])
  }
  assert.equal(added.name, 'holiday photos')
  assert.match(added.id, /^[0-9a-f-]{36}$/)
  await using opened = await openPins(folder)
  assert.deepEqual([...opened.pins.list()], [added])
  assert.equal(opened.pins.count, 1)
  assert.ok(!Buffer.isBuffer([...opened.pins.list()][0]?.cid.bytes), 'bytes are plain')
})

test('the same pin again is the one there is, also while the first is being written', async () => {
  await using opened = await openPins(newFolder())
  const { pins, journal } = opened
  const request = { cid: cidAt(0), kind: 'recursive', name: 'a' } as const
  const [first, second] = await Promise.all([pins.add(request), pins.add(request)])
  const third = await pins.add({ ...request, cid: cidAt(0) })
  assert.deepEqual(new Set([first.id, second.id, third.id]).size, 1)
  assert.equal((await Array.fromAsync(journal.replay())).length, 1)
})

/** Pins that share a multihash with a recursive, unnamed pin of a raw CID, and are others all the same. */
const OTHERS: Record<string, Parameters<PinSet['add']>[0]> = {
  'another kind': { cid: cidAt(0), kind: 'direct' },
  'another name': { cid: cidAt(0), kind: 'recursive', name: 'n' },
  'another codec, under which the bytes may have links': { cid: CID.createV1(CODECS.dagPb, cidAt(0).multihash), kind: 'recursive' }
}

for (const [what, other] of Object.entries(OTHERS)) {
  test(`a pin of ${what} is another pin, and one of them may go`, async () => {
    await using opened = await openPins(newFolder())
    const first = await opened.pins.add({ cid: cidAt(0), kind: 'recursive' })
    const second = await opened.pins.add(other)
    assert.notEqual(first.id, second.id)
    assert.deepEqual(idsOf(opened.pins.list({ cid: cidAt(0) })), [first.id, second.id])
  })
}

test('an empty name is no name', async () => {
  await using opened = await openPins(newFolder())
  const first = await opened.pins.add({ cid: cidAt(0), kind: 'direct', name: '' })
  assert.ok(!('name' in first))
  assert.equal((await opened.pins.add({ cid: cidAt(0), kind: 'direct' })).id, first.id)
})

test('pins are listed by kind, name, multihash, and all of them together', async () => {
  await using opened = await openPins(newFolder())
  const { pins } = opened
  const a = await pins.add({ cid: cidAt(0), kind: 'recursive', name: 'x' })
  const b = await pins.add({ cid: cidAt(0), kind: 'direct', name: 'x' })
  const c = await pins.add({ cid: cidAt(1), kind: 'recursive', name: 'x' })
  const d = await pins.add({ cid: cidAt(1), kind: 'recursive' })
  assert.deepEqual(idsOf(pins.list()), idsOf([a, b, c, d]))
  assert.deepEqual(idsOf(pins.list({ kind: 'direct' })), [b.id])
  assert.deepEqual(idsOf(pins.list({ name: 'x' })), idsOf([a, b, c]))
  assert.deepEqual(idsOf(pins.list({ cid: CID.createV1(CODECS.dagCbor, cidAt(1).multihash) })), idsOf([c, d]))
  assert.deepEqual(idsOf(pins.list({ cid: cidAt(0), kind: 'recursive', name: 'x' })), [a.id])
  assert.deepEqual(idsOf(pins.list({ cid: cidAt(2) })), [])
})

test('whether there is a pin is told by codec, kind and owner', async () => {
  await using opened = await openPins(newFolder())
  const { pins } = opened
  const other = CID.createV1(CODECS.dagCbor, cidAt(0).multihash)
  await pins.add({ cid: cidAt(0), kind: 'recursive', owner: 'cluster' })
  await pins.add({ cid: other, kind: 'direct' })
  const rows = [cidAt(0), other, cidAt(1)].map((cid) => [pins.has({ cid }), pins.has({ cid, kind: 'recursive' }), pins.has({ cid, owner: 'cluster' }), pins.has({ cid, kind: 'direct', owner: 'user' })])
  assert.deepEqual(rows, [[true, true, true, false], [true, false, false, true], [false, false, false, false]])
  await pins.remove({ cid: cidAt(0), owner: 'cluster' })
  assert.equal(pins.has({ cid: cidAt(0), owner: 'cluster' }), false)
})

test('removal takes all that fit, says which, and leaves the others', async () => {
  const folder = newFolder()
  const kept: Pin[] = []
  {
    await using opened = await openPins(folder)
    const { pins } = opened
    const a = await pins.add({ cid: cidAt(0), kind: 'recursive', name: 'x' })
    const b = await pins.add({ cid: cidAt(0), kind: 'recursive' })
    kept.push(await pins.add({ cid: cidAt(0), kind: 'direct' }), await pins.add({ cid: cidAt(1), kind: 'recursive' }))
    assert.deepEqual(idsOf(await pins.remove({ cid: cidAt(0), kind: 'recursive' })), [a.id, b.id])
    assert.deepEqual([...pins.list()], kept)
  }
  await using opened = await openPins(folder)
  assert.deepEqual([...opened.pins.list()], kept)
})

test('what is not pinned cannot be removed, nor what fits in part only', async () => {
  await using opened = await openPins(newFolder())
  await opened.pins.add({ cid: cidAt(0), kind: 'recursive', name: 'x' })
  const notPinned = (err: unknown): boolean => isErrorCode(err, 'NOT_FOUND') && err.message.includes(cidAt(0).toString())
  await assert.rejects(opened.pins.remove({ cid: cidAt(0), kind: 'direct' }), notPinned)
  await assert.rejects(opened.pins.remove({ cid: cidAt(0), name: 'y' }), notPinned)
  await assert.rejects(opened.pins.remove({ cid: cidAt(1) }), (err) => isErrorCode(err, 'NOT_FOUND'))
  assert.equal(opened.pins.count, 1)
})

test('a removal erases only the pins it saw: one added meanwhile stays', async () => {
  const folder = newFolder()
  let survivor: Pin
  {
    await using opened = await openPins(folder)
    const { pins } = opened
    const first = await pins.add({ cid: cidAt(0), kind: 'recursive' })
    const removing = pins.remove({ cid: cidAt(0) })
    survivor = await pins.add({ cid: cidAt(0), kind: 'recursive' })
    assert.deepEqual(idsOf(await removing), [first.id])
    assert.notEqual(survivor.id, first.id)
    assert.deepEqual([...pins.list()], [survivor])
  }
  await using opened = await openPins(folder)
  assert.deepEqual([...opened.pins.list()], [survivor])
})

test('a pin that is being added is not seen by a removal; of two removals one finds it', async () => {
  await using opened = await openPins(newFolder())
  const adding = opened.pins.add({ cid: cidAt(0), kind: 'recursive' })
  await assert.rejects(opened.pins.remove({ cid: cidAt(0) }), (err) => isErrorCode(err, 'NOT_FOUND'))
  await adding
  const results = await Promise.allSettled([opened.pins.remove({ cid: cidAt(0) }), opened.pins.remove({ cid: cidAt(0) })])
  assert.deepEqual(results.map(({ status }) => status), ['fulfilled', 'rejected'])
})

test('a pin that is being removed is listed until its removal is durable', async () => {
  await using opened = await openPins(newFolder())
  await opened.pins.add({ cid: cidAt(0), kind: 'recursive' })
  const removing = opened.pins.remove({ cid: cidAt(0) })
  assert.equal(opened.pins.count, 1)
  await removing
  assert.equal(opened.pins.count, 0)
})

test('the time of pins rises strictly, when the clock stands still, goes back, and across restarts', async () => {
  const folder = newFolder()
  let nowMs = 1000
  const times: number[] = []
  for (const step of [0, 0, -500, 100]) {
    nowMs += step
    await using opened = await openPins(folder, { now: () => nowMs })
    const adding = [0, 1].map((index) => opened.pins.add({ cid: cidAt(index), kind: 'direct', name: `${times.length}` }))
    times.push(...(await Promise.all(adding)).map(({ createdMs }) => createdMs))
    assert.deepEqual([...opened.pins.list()].map(({ createdMs }) => createdMs), times)
  }
  assert.deepEqual(times, [1000, 1001, 1002, 1003, 1004, 1005, 1006, 1007])
})

/** Requests that make no pin. */
const REFUSED: Record<string, [name: string | undefined, cid: CID, code: 'INVALID' | 'UNSUPPORTED']> = {
  'a name of 256 bytes': ['x'.repeat(MAX_PIN_NAME_BYTES + 1), cidAt(0), 'INVALID'],
  'a name of 128 letters with 256 bytes': ['ü'.repeat(128), cidAt(0), 'INVALID'],
  'a name with half a character': ['\ud800', cidAt(0), 'INVALID'],
  'a hash that cannot be checked': [undefined, CID.createV1(CODECS.raw, createDigest(0x22, new Uint8Array(20))), 'UNSUPPORTED']
}

for (const [what, [name, cid, code]] of Object.entries(REFUSED)) {
  test(`${what} makes no pin`, async () => {
    await using opened = await openPins(newFolder())
    await assert.rejects(opened.pins.add({ cid, kind: 'recursive', name }), (err) => isErrorCode(err, code))
    assert.equal(opened.pins.count, 0)
    assert.equal((await Array.fromAsync(opened.journal.replay())).length, 0)
  })
}

test('a name of 255 bytes is kept', async () => {
  const folder = newFolder()
  const name = `${'ü'.repeat(127)}x`
  {
    await using opened = await openPins(folder)
    await opened.pins.add({ cid: cidAt(0), kind: 'recursive', name })
  }
  await using opened = await openPins(folder)
  assert.deepEqual([...opened.pins.list()].map((pin) => pin.name), [name])
})

/** Values of records that no pin set writes. */
const MALFORMED: Record<string, [kind: string, value: Parameters<Journal['append']>[0][0]['value']]> = {
  'a pin that is a list': ['pin', []],
  'a pin without a CID': ['pin', { id: 'a', kind: 'direct', createdMs: 1 }],
  'a pin of no known kind': ['pin', { id: 'a', cid: cidAt(0), kind: 'indirect', createdMs: 1 }],
  'a pin from before time': ['pin', { id: 'a', cid: cidAt(0), kind: 'direct', createdMs: -1 }],
  'a pin from after time': ['pin', { id: 'a', cid: cidAt(0), kind: 'direct', createdMs: 8.64e15 + 2 }],
  'a pin with a number for a name': ['pin', { id: 'a', cid: cidAt(0), kind: 'direct', createdMs: 1, name: 1 }],
  'a removal of nothing': ['unpin', null],
  'a removal of numbers': ['unpin', { ids: [1] }],
  'a CID where a pin should be': ['pin', cidAt(0)]
}

for (const [what, [kind, value]] of Object.entries(MALFORMED)) {
  test(`${what} is refused, not passed over: it may be someone's pin`, async () => {
    await using journal = await openJournal(newFolder())
    await journal.append([{ kind, value }])
    await assert.rejects(openPinSet(journal), (err) => isErrorCode(err, 'CORRUPT'))
  })
}

test('records of other kinds, fields of tomorrow and repeated records change nothing', async () => {
  await using journal = await openJournal(newFolder())
  const pin = { kind: 'pin', value: { id: 'a', cid: cidAt(0), kind: 'recursive', createdMs: 5, colour: 'red' } }
  await journal.append([{ kind: 'member', value: { id: 'a' } }, pin, pin, { kind: 'unpin', value: { ids: ['b', 'a', 'a'] } }, { kind: 'pin', value: { ...pin.value, id: 'c' } }])
  await using pins = await openPinSet(journal)
  assert.deepEqual([...pins.list()].map((pin) => ({ ...pin, cid: pin.cid.toString() })), [{ id: 'c', cid: cidAt(0).toString(), kind: 'recursive', createdMs: 5 }])
})

/** What people do with pins. */
const actions = fc.array(fc.oneof(
  { weight: 5, arbitrary: fc.record({ action: fc.constant('add' as const), index: fc.nat(3), kind: fc.constantFrom('recursive' as const, 'direct' as const), name: fc.constantFrom(undefined, 'a', 'b') }) },
  { weight: 4, arbitrary: fc.record({ action: fc.constant('remove' as const), index: fc.nat(3), kind: fc.constantFrom(undefined, 'recursive' as const, 'direct' as const), name: fc.constantFrom(undefined, 'a') }) },
  { weight: 1, arbitrary: fc.record({ action: fc.constant('reopen' as const) }) }
), { maxLength: 30 })

test('pins that come and go, with compactions and restarts between, are those of a plain list', async () => {
  await fc.assert(fc.asyncProperty(actions, async (actions) => {
    const folder = newFolder()
    let opened = await openPins(folder, { minDeadRecords: 3 })
    const model: Array<{ index: number, kind: string, name: string | undefined }> = []
    for (const action of actions) {
      if (action.action === 'add') {
        const { index, kind, name } = action
        await opened.pins.add({ cid: cidAt(index), kind, name })
        if (!model.some((pin) => pin.index === index && pin.kind === kind && pin.name === name)) model.push({ index, kind, name })
      } else if (action.action === 'remove') {
        const { index, kind, name } = action
        const fits = (pin: typeof model[0]): boolean => pin.index === index && (kind === undefined || pin.kind === kind) && (name === undefined || pin.name === name)
        const fitting = model.filter(fits)
        const removing = opened.pins.remove({ cid: cidAt(index), kind, name })
        if (fitting.length === 0) await assert.rejects(removing, (err) => isErrorCode(err, 'NOT_FOUND'))
        else assert.equal((await removing).length, fitting.length)
        for (const pin of fitting) model.splice(model.indexOf(pin), 1)
      } else {
        await opened[Symbol.asyncDispose]()
        opened = await openPins(folder, { minDeadRecords: 3 })
      }
      assert.deepEqual([...opened.pins.list()].map(({ cid, kind, name }) => [cid.toString(), kind, name]), model.map(({ index, kind, name }) => [cidAt(index).toString(), kind, name]))
    }
    await opened[Symbol.asyncDispose]()
  }), { numRuns: 40 })
})

test('a journal of mostly removed pins is compacted by itself, and records of others stay', async () => {
  const folder = newFolder()
  {
    await using opened = await openPins(folder, { minDeadRecords: 50 })
    const { pins, journal } = opened
    await journal.append([{ kind: 'member', value: 'kept' }])
    const kept = await pins.add({ cid: cidAt(7), kind: 'recursive', name: 'kept' })
    let maxByteLength = 0
    for (let round = 0; round < 200; round++) {
      await pins.add({ cid: cidAt(round % 7), kind: 'recursive', name: `${round}` })
      await pins.remove({ cid: cidAt(round % 7), name: `${round}` })
      maxByteLength = Math.max(maxByteLength, journal.byteLength)
    }
    assert.deepEqual([...pins.list()], [kept])
    // 200 rounds without compaction are 70 KB.
    assert.ok(maxByteLength < 35_000, `${maxByteLength} bytes`)
  }
  await using opened = await openPins(folder)
  assert.deepEqual([...opened.pins.list()].map(({ name }) => name), ['kept'])
  const kinds = (await Array.fromAsync(opened.journal.replay())).map(({ kind }) => kind)
  assert.equal(kinds.filter((kind) => kind === 'member').length, 1)
})

test('nothing acknowledged is lost when adds and removals run while compactions do', async () => {
  const folder = newFolder()
  const expected = new Map<string, string | undefined>()
  {
    await using opened = await openPins(folder, { minDeadRecords: 5 })
    await Promise.all(Array.from({ length: 8 }, async (_, lane) => {
      for (let round = 0; round < 30; round++) {
        const name = `${lane} ${round}`
        const pin = await opened.pins.add({ cid: cidAt(lane), kind: 'recursive', name })
        expected.set(pin.id, name)
        if (round % 5 === 0) continue
        await opened.pins.remove({ cid: cidAt(lane), name })
        expected.delete(pin.id)
      }
    }))
    assert.deepEqual(new Map([...opened.pins.list()].map(({ id, name }) => [id, name])), expected)
  }
  await using opened = await openPins(folder)
  assert.deepEqual(new Map([...opened.pins.list()].map(({ id, name }) => [id, name])), expected)
})

test('a compaction that fails is logged, and pins go on', async () => {
  const warnings: string[] = []
  const log: Logger = { ...silentLogger, warn: (message) => { warnings.push(message) } }
  await using journal = await openJournal(newFolder())
  const failing: Journal = {
    append: async (records) => { await journal.append(records) },
    replay: () => journal.replay(),
    compact: async () => { throw new Error('no') },
    byteLength: 0,
    [Symbol.asyncDispose]: async () => {}
  }
  await using pins = await openPinSet(failing, { log, minDeadRecords: 2 })
  for (let round = 0; round < 4; round++) {
    await pins.add({ cid: cidAt(0), kind: 'direct' })
    await pins.remove({ cid: cidAt(0) })
    await setImmediate()
  }
  assert.ok(warnings.length >= 1 && warnings.length <= 4)
  assert.equal(pins.count, 0)
})

test('a pin whose record was refused is not there', async () => {
  const journal = await openJournal(newFolder())
  const pins = await openPinSet(journal)
  const pin = await pins.add({ cid: cidAt(0), kind: 'direct' })
  await journal[Symbol.asyncDispose]()
  await assert.rejects(pins.add({ cid: cidAt(1), kind: 'direct' }), (err) => isErrorCode(err, 'UNAVAILABLE'))
  await assert.rejects(pins.remove({ cid: cidAt(0) }), (err) => isErrorCode(err, 'UNAVAILABLE'))
  assert.deepEqual([...pins.list()], [pin])
})

test('a pin of the cluster stands beside the user\'s, survives, and goes only when it is named', async () => {
  const folder = newFolder()
  {
    await using opened = await openPins(folder)
    const own = await opened.pins.add({ cid: cidAt(0), kind: 'recursive' })
    const copy = await opened.pins.add({ cid: cidAt(0), kind: 'recursive', owner: 'cluster' })
    assert.notEqual(copy.id, own.id)
    assert.deepEqual(idsOf(opened.pins.list({ owner: 'user' })), [own.id])
    assert.deepEqual(idsOf(opened.pins.list({ cid: cidAt(0) })), [own.id, copy.id])
    await opened.pins.remove({ cid: cidAt(0) })
  }
  await using opened = await openPins(folder)
  assert.deepEqual([...opened.pins.list()].map(({ owner }) => owner), ['cluster'])
  await assert.rejects(opened.pins.remove({ cid: cidAt(0) }), (err) => isErrorCode(err, 'NOT_FOUND'))
  await opened.pins.remove({ cid: cidAt(0), owner: 'cluster' })
  assert.equal(opened.pins.count, 0)
})
