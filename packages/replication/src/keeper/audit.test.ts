import { MemoryBlockstore } from '@holdfast/blockstore'
import { Block, linksOf } from '@holdfast/core'
import type { PeerStream } from '@holdfast/network'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { addContent, type KeepingNode, openKeepers } from '../../test/keeping-nodes.ts'
import { openNode, until } from '../../test/nodes.ts'
import { answerChallenge, CHALLENGE_PROTOCOL } from './challenge-protocol.ts'
import { sampleBlocks } from './sample-blocks.ts'

const MIB = 1024 * 1024

function copyOf ({ keeper }: KeepingNode, id: string, peer: string): string {
  const copy = keeper.status(id)?.holders.find((holder) => holder.peer === peer)
  return `${copy?.state} ${copy?.isCounted}`
}

test('a member that claims a copy it does not hold is found out: its copy is not counted, and another makes one', async (context) => {
  const nodes = await openKeepers(context, 3)
  const [a, b, c] = nodes
  assert.ok(a !== undefined && b !== undefined && c !== undefined)
  const pin = await a.replication.putPin({ cid: await addContent(a, 1, 2 * MIB), copies: 2 })
  await until(() => nodes.every(({ keeper }) => keeper.status(pin.id)?.state === 'pinned'))
  const [liar, honest] = b.pins.count === 1 ? [b, c] : [c, b]
  // From now on it keeps saying so, and holds nothing.
  for (const cid of await Array.fromAsync(liar.blocks.list())) await liar.blocks.delete(cid)
  await liar.keeper[Symbol.asyncDispose]()
  let answer = async (stream: PeerStream): Promise<void> => { await stream.closeWrite() }
  await using _ = await liar.host.handle([CHALLENGE_PROTOCOL], async (stream) => { await answer(stream) })
  await liar.replication.reportHold({ pinKey: pin.pinKey, state: 'verified', byteLength: 2 * MIB })

  await until(() => copyOf(a, pin.id, liar.identity.peerId) === 'corrupt false')
  await until(() => honest.pins.count === 1 && a.keeper.status(pin.id)?.state === 'pinned')
  // It accuses the others in turn; they have proof, and it is believed by nobody.
  await liar.replication.reportHold({ pinKey: pin.pinKey, state: 'verified', byteLength: 2 * MIB, doubts: [a.identity.peerId, honest.identity.peerId] })
  await until(() => a.replication.holds(pin.pinKey).some(({ doubts }) => doubts.includes(a.identity.peerId)))
  await until(() => a.keeper.status(pin.id)?.countedCount === 2 && a.keeper.status(pin.id)?.state === 'pinned')

  // Once it has the blocks, and says so anew, it is believed again.
  answer = async (stream) => { await answerChallenge(stream, a.blocks) }
  await liar.replication.reportHold({ pinKey: pin.pinKey, state: 'verified', byteLength: 2 * MIB })
  await until(() => copyOf(honest, pin.id, liar.identity.peerId) === 'verified true')
})

test('a holder that lost blocks without knowing finds that out when copies are compared, and mends its own', async (context) => {
  const nodes = await openKeepers(context, 2)
  const [a, b] = nodes
  assert.ok(a !== undefined && b !== undefined)
  const pin = await a.replication.putPin({ cid: await addContent(a, 1, MIB), copies: 2 })
  await until(() => nodes.every(({ keeper }) => keeper.status(pin.id)?.state === 'pinned'))
  const lost = await Array.fromAsync(b.blocks.list())
  for (const cid of lost) await b.blocks.delete(cid)
  const { atMs } = b.replication.holds(pin.pinKey).find(({ holder }) => holder === b.identity.peerId) ?? assert.fail()
  await a.replication.reportHold({ pinKey: pin.pinKey, state: 'verified', byteLength: MIB })
  await until(() => b.replication.holds(pin.pinKey).some((hold) => hold.holder === b.identity.peerId && hold.atMs > atMs))
  await until(() => copyOf(a, pin.id, b.identity.peerId) === 'verified true')
  for (const cid of lost) assert.ok(await b.blocks.has(cid))
})

test('who is no member is not answered', async (context) => {
  const [a] = await openKeepers(context, 1)
  assert.ok(a !== undefined)
  const stranger = await openNode(context)
  await stranger.host.connect(a.host.address)
  const outcome = await (async () => {
    await using stream = await stranger.host.openStream(a.identity.peerId, [CHALLENGE_PROTOCOL])
    return await Array.fromAsync(stream.read())
  })().catch((err: unknown) => err)
  assert.ok(outcome instanceof Error, String(outcome))
})

test('random blocks of a DAG are drawn from all of it, each once', async () => {
  const blocks = new MemoryBlockstore()
  const cid = await addContent({ blocks }, 1, 4 * MIB)
  const seen = new Set<string>()
  for (let round = 0; round < 30; round++) {
    const drawn = await sampleBlocks(blocks, cid, { count: 20, isDirect: false })
    assert.ok(drawn !== undefined && drawn.length <= 20)
    assert.equal(new Set(drawn.map((block) => block.cid.toString())).size, drawn.length)
    for (const block of drawn) seen.add(block.cid.toString())
  }
  assert.equal(seen.size, 17, 'the root and its 16 leaves')

  const root = await blocks.get(cid) ?? assert.fail()
  assert.deepEqual((await sampleBlocks(blocks, cid, { count: 20, isDirect: true }))?.map((block) => block.cid), [cid])
  for (const leaf of linksOf(root)) await blocks.delete(leaf)
  assert.equal(await sampleBlocks(blocks, cid, { count: 20, isDirect: false }), undefined)
  const single = await Block.of(Buffer.from('alone'))
  await blocks.put(single)
  assert.equal((await sampleBlocks(blocks, single.cid, { count: 20, isDirect: false }))?.length, 1)
})
