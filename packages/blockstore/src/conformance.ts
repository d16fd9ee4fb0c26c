import { Block, CODECS, HoldfastError, IDENTITY, isErrorCode, MAX_BLOCK_BYTES, multihashKey } from '@holdfast/core'
import { CID } from 'multiformats/cid'
import { create as createDigest } from 'multiformats/hashes/digest'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Blockstore } from './blockstore.ts'
import { deleteBlocks } from './delete-blocks.ts'

export interface ConformanceOptions {
  /**
   * Closes `store` and opens the same place again. Engines that keep blocks give it, and the
   * suite then checks that they do; what survives a crash is for the engine's own tests.
   */
  reopen?: (store: Blockstore) => Promise<Blockstore>
}

/**
 * Registers the tests that every `Blockstore` must pass.
 *
 * An engine's own test file calls this, then adds only what is special to it.
 *
 * @param open Opens an empty store; called once a test.
 */
export function testBlockstore (name: string, open: () => Promise<Blockstore>, { reopen }: ConformanceOptions = {}): void {
  for (const [behaviour, run] of Object.entries({ ...READING, ...WRITING, ...DELETING, ...LISTING, ...RACING, ...ABORTING })) {
    test(`${name}: ${behaviour}`, async () => {
      await using store = await open()
      await run(store)
    })
  }
  if (reopen === undefined) return

  test(`${name}: blocks are there after closing and opening again`, async () => {
    const [kept, deleted] = await Promise.all([blockOf(1), blockOf(2)])
    const before = await open()
    const others = await Promise.all([numbered(0), numbered(1)])
    await before.putMany([kept, deleted, ...others])
    await before.delete(deleted.cid)
    await deleteBlocks(before, others.map(({ cid }) => cid))

    await using store = await reopen(before)
    assert.deepEqual((await store.get(kept.cid))?.bytes, kept.bytes)
    assert.equal(await store.has(deleted.cid), false)
    assert.deepEqual(await listed(store), keysOf([kept]))
  })
}

type Cases = Readonly<Record<string, (store: Blockstore) => Promise<void>>>

/** Where engines break: nothing, one byte, around one disk page, the most allowed. */
const BYTE_LENGTHS = [0, 1, 4095, 4096, 4097, MAX_BLOCK_BYTES - 1, MAX_BLOCK_BYTES]

const SHA2_512 = 0x13
const BLAKE3 = 0x1e

/** Of the private range of the multicodec table: no hash function will ever have it. */
const UNKNOWN_HASH = 0x300000

const READING: Cases = {
  'get answers undefined for a block never put': async (store) => {
    const { cid } = await blockOf(1)
    assert.equal(await store.get(cid), undefined)
    assert.equal(await store.has(cid), false)
  },

  'get returns the bytes that were put, at every length': async (store) => {
    for (const byteLength of BYTE_LENGTHS) {
      const block = await blockOf(byteLength)
      await store.put(block)
      assert.equal(await store.has(block.cid), true, `has, ${byteLength} bytes`)
      assertSameBytes(await store.get(block.cid), block)
    }
  },

  'a block is found by any CID with its multihash, and carries the one asked for': async (store) => {
    const block = await blockOf(64)
    await store.put(block)
    for (const cid of [CID.createV1(CODECS.dagPb, block.cid.multihash), CID.createV0(sha256Digest(block))]) {
      assert.equal(await store.has(cid), true)
      assert.equal((await store.get(cid))?.cid.toString(), cid.toString())
    }
  },

  'the bytes are a plain Uint8Array, not a Buffer, whatever was put': async (store) => {
    const block = await Block.of(Buffer.from('a Buffer slices by sharing, a Uint8Array by copying'))
    await store.put(block)
    assert.equal(Object.getPrototypeOf((await store.get(block.cid))?.bytes), Uint8Array.prototype)
  },

  'byteLengthOf tells the length of every block that is there, where the engine can': async (store) => {
    const inline = await Block.of(Uint8Array.of(1, 2, 3), { hash: IDENTITY })
    const { cid: absent } = await numbered(0)
    if (store.byteLengthOf === undefined) return
    for (const byteLength of BYTE_LENGTHS) {
      const block = await blockOf(byteLength)
      await store.put(block)
      assert.equal(await store.byteLengthOf(block.cid), byteLength)
      assert.equal(await store.byteLengthOf(CID.createV1(CODECS.dagPb, block.cid.multihash)), byteLength, 'by another CID')
      await store.get(block.cid)
      assert.equal(await store.byteLengthOf(block.cid), byteLength, 'once it was read')
      await store.delete(block.cid)
      assert.equal(await store.byteLengthOf(block.cid), undefined, 'once it is gone')
    }
    assert.equal(await store.byteLengthOf(inline.cid), 3)
    assert.equal(await store.byteLengthOf(absent), undefined)
  },

  'an identity block is found without being stored': async (store) => {
    const block = await Block.of(Uint8Array.of(1, 2, 3), { hash: IDENTITY })
    assert.equal(await store.has(block.cid), true)
    assertSameBytes(await store.get(block.cid), block)

    await store.put(block)
    await store.putMany([block])
    assert.deepEqual(await listed(store), [])
    assert.equal(await store.delete(block.cid), false)
  },

  'a CID of an unknown hash is UNSUPPORTED, not absent': async (store) => {
    const cid = CID.createV1(CODECS.raw, createDigest(UNKNOWN_HASH, new Uint8Array(32)))
    await assert.rejects(store.get(cid), (err) => isErrorCode(err, 'UNSUPPORTED'))
    await assert.rejects(store.has(cid), (err) => isErrorCode(err, 'UNSUPPORTED'))
    await assert.rejects(store.delete(cid), (err) => isErrorCode(err, 'UNSUPPORTED'))
    if (store.byteLengthOf !== undefined) await assert.rejects(store.byteLengthOf(cid), (err) => isErrorCode(err, 'UNSUPPORTED'))
  },

  'a CID with a digest too short or too long to trust is INVALID': async (store) => {
    for (const cid of [
      CID.createV1(CODECS.raw, createDigest(0x12, new Uint8Array(4))),
      CID.createV1(CODECS.raw, createDigest(0x12, new Uint8Array(1000))),
      CID.createV1(CODECS.raw, createDigest(IDENTITY, new Uint8Array(129)))
    ]) {
      await assert.rejects(store.get(cid), (err) => isErrorCode(err, 'INVALID'))
      await assert.rejects(store.has(cid), (err) => isErrorCode(err, 'INVALID'))
      await assert.rejects(store.delete(cid), (err) => isErrorCode(err, 'INVALID'))
    }
  }
}

const WRITING: Cases = {
  'put of a stored block changes nothing': async (store) => {
    const block = await blockOf(64)
    await store.put(block)
    await store.put(block)
    assert.deepEqual(await listed(store), keysOf([block]))
    assertSameBytes(await store.get(block.cid), block)
  },

  'putMany stores every block': async (store) => {
    const blocks = await Promise.all(Array.from({ length: 100 }, (_, index) => numbered(index)))
    await store.putMany(blocks)
    for (const block of blocks) assertSameBytes(await store.get(block.cid), block)
    assert.deepEqual(await listed(store), keysOf(blocks))
  },

  'a store that releases bytes has no use for their memory once putMany resolved': async (store) => {
    const [block, other] = await Promise.all([blockOf(300_000), blockOf(5000)])
    const copies = await Promise.all([block, other].map(async ({ bytes }) => await Block.of(Uint8Array.from(bytes))))
    await store.putMany(copies)
    if (store.releasesBytes === true) for (const { bytes } of copies) bytes.fill(0)
    for (const stored of [block, other]) assertSameBytes(await store.get(stored.cid), stored)
    await store.putMany([block, other])
  },

  'putMany of nothing does nothing': async (store) => {
    await store.putMany([])
    assert.deepEqual(await store.usage(), { blockCount: 0, byteLength: 0 })
  },

  'putMany stores a block once that is there twice, under two CIDs, or already stored': async (store) => {
    const [stored, repeated] = await Promise.all([blockOf(1), blockOf(64)])
    await store.put(stored)
    await store.putMany([stored, repeated, repeated, repeated.as(CID.createV1(CODECS.dagPb, repeated.cid.multihash))])
    assert.deepEqual(await listed(store), keysOf([stored, repeated]))
  },

  'usage counts blocks and their bytes': async (store) => {
    await store.putMany(await Promise.all([0, 1, 4097].map(blockOf)))
    assert.deepEqual(await store.usage(), { blockCount: 3, byteLength: 4098 })
    await store.delete((await blockOf(4097)).cid)
    assert.deepEqual(await store.usage(), { blockCount: 2, byteLength: 1 })
  }
}

const DELETING: Cases = {
  'delete of an absent block is not an error': async (store) => {
    assert.equal(await store.delete((await blockOf(1)).cid), false)
  },

  'a deleted block is absent, and can be put again': async (store) => {
    const block = await blockOf(64)
    await store.put(block)
    assert.equal(await store.delete(block.cid), true)
    assert.equal(await store.get(block.cid), undefined)
    assert.equal(await store.has(block.cid), false)
    assert.deepEqual(await listed(store), [])
    assert.equal(await store.delete(block.cid), false)

    await store.put(block)
    assertSameBytes(await store.get(block.cid), block)
  },

  'delete takes any CID with the multihash, and nothing else': async (store) => {
    const [block, other] = await Promise.all([blockOf(64), blockOf(65)])
    await store.putMany([block, other])
    assert.equal(await store.delete(CID.createV1(CODECS.dagPb, block.cid.multihash)), true)
    assert.deepEqual(await listed(store), keysOf([other]))
  },

  'a block stays when `when` answers no': async (store) => {
    const block = await blockOf(64)
    await store.put(block)
    assert.equal(await store.delete(block.cid, { when: () => false }), false)
    assertSameBytes(await store.get(block.cid), block)
    assert.equal(await store.delete(block.cid, { when: () => true }), true)
    assert.equal(await store.has(block.cid), false)
  },

  'a failure of `when` reaches the caller, and the block stays': async (store) => {
    const block = await blockOf(64)
    await store.put(block)
    const failure = new Error('cannot tell')
    await assert.rejects(store.delete(block.cid, { when: () => { throw failure } }), (err) => err === failure)
    assertSameBytes(await store.get(block.cid), block)
    assert.equal(await store.delete(block.cid), true, 'the block is not left locked')
  },

  'many blocks go at once, and the length of each is told in the order that was asked': async (store) => {
    const blocks = await Promise.all([0, 1, 4097, 64].map(blockOf))
    const [empty, one, long, kept] = blocks
    const inline = await Block.of(Uint8Array.of(1, 2, 3), { hash: IDENTITY })
    const absent = await numbered(0)
    assert.ok(empty && one && long && kept)
    await store.putMany(blocks)
    const cids = [long.cid, absent.cid, inline.cid, CID.createV1(CODECS.dagPb, one.cid.multihash), empty.cid]
    assert.deepEqual(await deleteBlocks(store, cids), [4097, undefined, undefined, 1, 0])
    assert.deepEqual(await listed(store), keysOf([kept]))
    assert.deepEqual(await deleteBlocks(store, cids), cids.map(() => undefined))
    assert.deepEqual(await deleteBlocks(store, []), [])
    assert.deepEqual(await store.usage(), { blockCount: 1, byteLength: 64 })
  },

  'a block that is to go twice goes once': async (store) => {
    const block = await blockOf(64)
    await store.put(block)
    const byteLengths = await deleteBlocks(store, [block.cid, block.cid])
    assert.deepEqual(byteLengths.filter((byteLength) => byteLength !== undefined), [64])
  },

  'of many blocks those stay for which `when` answers no': async (store) => {
    const blocks = await Promise.all(Array.from({ length: 200 }, (_, index) => numbered(index)))
    const kept = blocks.filter((_, index) => index % 3 === 0)
    const keptCids = new Set(kept.map(({ cid }) => cid))
    await store.putMany(blocks)
    const byteLengths = await deleteBlocks(store, blocks.map(({ cid }) => cid), { when: (cid) => !keptCids.has(cid) })
    assert.deepEqual(byteLengths, blocks.map((_, index) => index % 3 === 0 ? undefined : 2))
    assert.deepEqual(await listed(store), keysOf(kept))
    for (const block of kept) assertSameBytes(await store.get(block.cid), block)
  },

  'a failure of `when` for one of many reaches the caller, and its block stays': async (store) => {
    const blocks = await Promise.all([blockOf(64), blockOf(65), blockOf(66)])
    const [, guarded] = blocks
    assert.ok(guarded)
    await store.putMany(blocks)
    const failure = new Error('cannot tell')
    const when = (cid: CID): boolean => {
      if (cid === guarded.cid) throw failure
      return true
    }
    await assert.rejects(deleteBlocks(store, blocks.map(({ cid }) => cid), { when }), (err) => err === failure)
    assertSameBytes(await store.get(guarded.cid), guarded)
    assert.equal(await store.delete(guarded.cid), true, 'the block is not left locked')
  }
}

const LISTING: Cases = {
  'list yields each block once, as CIDv1 raw, whatever its hash, codec and version': async (store) => {
    const bytes = Uint8Array.of(1, 2, 3)
    const blocks = await Promise.all([
      Block.of(bytes),
      Block.of(bytes, { hash: SHA2_512 }),
      Block.of(bytes, { hash: BLAKE3, codec: CODECS.dagCbor }),
      Block.of(Uint8Array.of(0x0a, 0x00), { codec: CODECS.dagPb, version: 0 })
    ])
    await store.putMany(blocks)

    const cids = await Array.fromAsync(store.list())
    assert.deepEqual(cids.map(multihashKey).sort(), keysOf(blocks))
    for (const cid of cids) {
      assert.deepEqual([cid.version, cid.code], [1, CODECS.raw])
      assert.equal((await store.get(cid))?.cid.toString(), cid.toString())
    }
  },

  'a walk can be left in the middle, and blocks deleted under it': async (store) => {
    const blocks = await Promise.all(Array.from({ length: 20 }, (_, index) => numbered(index)))
    await store.putMany(blocks)
    for await (const cid of store.list()) {
      await store.delete(cid)
      break
    }
    assert.equal((await listed(store)).length, 19)
    for await (const cid of store.list()) await store.delete(cid)
    assert.deepEqual(await listed(store), [])
  }
}

const RACING: Cases = {
  'a block that is put and read by many at once is never seen torn': async (store) => {
    const block = await blockOf(MAX_BLOCK_BYTES)
    const readUntilFound = async (): Promise<void> => {
      for (;;) {
        // get verifies: a torn block would reject with CORRUPT.
        const found = await store.get(block.cid)
        if (found !== undefined) return assertSameBytes(found, block)
      }
    }
    const put = async (): Promise<void> => { await store.put(block) }
    await Promise.all([readUntilFound(), put(), put(), store.putMany([block]), readUntilFound(), put()])
    assert.deepEqual(await listed(store), keysOf([block]))
  },

  'puts, deletes and gets of one block at once end with all or nothing': async (store) => {
    const block = await blockOf(4097)
    await Promise.all(Array.from({ length: 60 }, async (_, index) => {
      if (index % 3 === 0) return await store.put(block)
      if (index % 3 === 1) return await store.delete(block.cid)
      return await store.get(block.cid)
    }))
    const found = await store.get(block.cid)
    assert.equal(await store.has(block.cid), found !== undefined)
    assert.deepEqual(await listed(store), found === undefined ? [] : keysOf([block]))
  },

  'batches that share blocks in opposite orders all finish': async (store) => {
    const blocks = await Promise.all(Array.from({ length: 32 }, (_, index) => numbered(index)))
    await Promise.all([
      store.putMany(blocks),
      store.putMany([...blocks].reverse()),
      ...blocks.map((block) => store.put(block))
    ])
    assert.deepEqual(await listed(store), keysOf(blocks))
  },

  'a delete decides by what holds when no put of its block runs': async (store) => {
    const block = await blockOf(4097)
    await store.put(block)
    let wanted = false
    const putting = store.put(block)
    wanted = true
    const [deleted] = await Promise.all([store.delete(block.cid, { when: () => !wanted }), putting])
    assert.equal(deleted, false)
    assertSameBytes(await store.get(block.cid), block)
  },

  'a put that begins after a delete asked stores the block anew': async (store) => {
    const block = await blockOf(4097)
    await store.put(block)
    let putting: Promise<void> | undefined
    await store.delete(block.cid, {
      when () {
        putting = store.put(block)
        return true
      }
    })
    await putting
    assertSameBytes(await store.get(block.cid), block)
  },

  'deleting many decides by what holds when no put of the block runs, and a later put stores it anew': async (store) => {
    const blocks = await Promise.all([blockOf(4096), blockOf(4097), blockOf(4098)])
    const [wanted, again, other] = blocks
    assert.ok(wanted && again && other)
    await store.putMany(blocks)
    let isWanted = false
    let puttingAgain: Promise<void> | undefined
    const putting = store.put(wanted)
    isWanted = true
    const deleting = deleteBlocks(store, blocks.map(({ cid }) => cid), {
      when (cid) {
        if (cid === again.cid) puttingAgain = store.put(again)
        return cid !== wanted.cid || !isWanted
      }
    })
    assert.deepEqual((await Promise.all([deleting, putting]))[0], [undefined, 4097, 4098])
    await puttingAgain
    assert.deepEqual(await listed(store), keysOf([wanted, again]))
    assertSameBytes(await store.get(again.cid), again)
  }
}

const ABORTING: Cases = {
  'an aborted call rejects with the reason given, and does nothing': async (store) => {
    const [stored, fresh] = await Promise.all([blockOf(64), blockOf(65)])
    await store.put(stored)
    const reason = new HoldfastError('LIMIT', 'changed my mind')
    const options = { signal: AbortSignal.abort(reason) }
    const isReason = (err: unknown): boolean => err === reason

    await assert.rejects(store.get(stored.cid, options), isReason)
    await assert.rejects(store.has(stored.cid, options), isReason)
    if (store.byteLengthOf !== undefined) await assert.rejects(store.byteLengthOf(stored.cid, options), isReason)
    await assert.rejects(store.put(fresh, options), isReason)
    await assert.rejects(store.putMany([fresh], options), isReason)
    await assert.rejects(store.delete(stored.cid, options), isReason)
    await assert.rejects(deleteBlocks(store, [stored.cid], options), isReason)
    await assert.rejects(store.usage(options), isReason)
    await assert.rejects(Array.fromAsync(store.list(options)), isReason)
    assert.deepEqual(await listed(store), keysOf([stored]))
  },

  'a call aborted on the way stores the block whole or not at all': async (store) => {
    const reason = new Error('changed my mind')
    const block = await blockOf(MAX_BLOCK_BYTES)
    for (let turn = 0; turn < 8; turn++) {
      const controller = new AbortController()
      const putting = store.putMany([block], { signal: controller.signal }).then(() => 'stored', (err: unknown) => err)
      for (let wait = 0; wait < turn; wait++) await new Promise(setImmediate)
      controller.abort(reason)
      const outcome = await putting
      assert.ok(outcome === 'stored' || outcome === reason)
      const found = await store.get(block.cid)
      if (outcome === 'stored') assert.notEqual(found, undefined)
      await store.delete(block.cid)
    }
    await store.put(block)
    assertSameBytes(await store.get(block.cid), block)
  },

  'a walk ends with the reason when it is aborted on the way': async (store) => {
    await store.putMany(await Promise.all(Array.from({ length: 20 }, (_, index) => numbered(index))))
    const controller = new AbortController()
    const reason = new Error('changed my mind')
    await assert.rejects(async () => {
      for await (const _ of store.list({ signal: controller.signal })) controller.abort(reason)
    }, (err) => err === reason)
  }
}

/** A block with the same content on every run. */
async function blockOf (byteLength: number): Promise<Block> {
  return await Block.of(Uint8Array.from({ length: byteLength }, (_, index) => index % 251))
}

/** One of many different small blocks. */
async function numbered (index: number): Promise<Block> {
  return await Block.of(Uint8Array.of(index >> 8, index))
}

/** `deepEqual` of two megabytes takes a second; this does not. */
function assertSameBytes (found: Block | undefined, { cid, bytes }: Block): void {
  assert.ok(found !== undefined && Buffer.compare(found.bytes, bytes) === 0, `${cid} comes back as it was put (${bytes.byteLength} bytes)`)
}

async function listed (store: Blockstore): Promise<string[]> {
  return (await Array.fromAsync(store.list())).map(multihashKey).sort()
}

function keysOf (blocks: readonly Block[]): string[] {
  return blocks.map(({ cid }) => multihashKey(cid)).sort()
}

function sha256Digest ({ cid }: Block): Parameters<typeof CID.createV0>[0] {
  return createDigest(0x12, cid.multihash.digest)
}
