import { HoldfastError } from '@holdfast/core'
import { encode } from '@ipld/dag-cbor'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { addContent, openKeepers, openKeepingNode } from '../../test/keeping-nodes.ts'
import { until } from '../../test/nodes.ts'
import { frameOf } from '../sync/frames.ts'
import { CHALLENGE_PROTOCOL } from './challenge-protocol.ts'

const MIB = 1024 * 1024

test('a node that starts again knows its copies, fetches none of them anew, and goes on with what it had begun', async (context) => {
  const [a, b] = await openKeepers(context, 2)
  assert.ok(a !== undefined && b !== undefined)
  const kept = await a.replication.putPin({ cid: await addContent(a, 1, MIB), copies: 2 })
  await until(() => a.keeper.status(kept.id)?.state === 'pinned' && b.keeper.stats.fetchingCount === 0)
  await b[Symbol.asyncDispose]()
  const begun = await addContent(a, 2, 4 * MIB)
  const { id } = await a.replication.putPin({ cid: begun, copies: 2 })
  // Half of it is here, as after a crash in the middle.
  let count = 0
  for await (const cid of a.blocks.list()) {
    const block = await a.blocks.get(cid)
    if (block !== undefined && ++count % 2 === 0) await b.blocks.put(block)
  }
  const beforeCount = (await b.blocks.usage()).blockCount
  const again = await openKeepingNode(context, { folder: b.folder, blocks: b.blocks })
  await until(() => again.keeper.status(kept.id)?.state === 'pinned' && a.keeper.status(id)?.state === 'pinned')
  const { blockCount } = await again.blocks.usage()
  assert.equal(again.exchange.stats().hashedBlockCount, blockCount - beforeCount, 'only what was missing came over the network')
  assert.ok(again.keeper.stats.usedBytes > 5 * MIB, `${again.keeper.stats.usedBytes}`)
})

test('a member that sends no challenge, or too large a one, gets no answer, and harms nothing', async (context) => {
  const [a, b] = await openKeepers(context, 2)
  assert.ok(a !== undefined && b !== undefined)
  const nonce = new Uint8Array(32)
  const cid = await addContent(b, 1)
  const messages = [
    ['not a map', encode([1, 2])],
    ['a short nonce', encode({ t: 'challenge', v: 1, nonce: new Uint8Array(8), cids: [cid] })],
    ['another version', encode({ t: 'challenge', v: 2, nonce, cids: [cid] })],
    ['21 blocks', encode({ t: 'challenge', v: 1, nonce, cids: Array.from({ length: 21 }, () => cid) })],
    ['5 KB', encode({ t: 'challenge', v: 1, nonce, cids: [], more: new Uint8Array(5_000) })]
  ] as const
  for (const [what, message] of messages) {
    const outcome = await (async () => {
      await using stream = await b.host.openStream(a.identity.peerId, [CHALLENGE_PROTOCOL])
      await stream.write(frameOf(message))
      return await Array.fromAsync(stream.read())
    })().catch((err: unknown) => err)
    assert.ok(outcome instanceof HoldfastError, `${what}: ${String(outcome)}`)
  }
  const { id } = await b.replication.putPin({ cid, copies: 2 })
  await until(() => a.keeper.status(id)?.state === 'pinned')
})
