import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { bytesOf, HELLO_V1, linesOf, openRpc } from './rpc-client.ts'

test('pins are added, listed in every form, updated, verified and removed', async (context) => {
  const { node, client } = await openRpc(context)
  const entries = await Array.fromAsync(client.addAll([{ path: 'a', content: 'A' }, { path: 'b', content: 'B' }], { wrapWithDirectory: true, pin: false }))
  const root = entries.at(-1)?.cid
  const a = entries.find(({ path }) => path === 'a')?.cid
  assert.ok(root !== undefined && a !== undefined)
  assert.equal((await client.pin.add(root, { name: 'mine' })).toString(), root.toString())
  assert.deepEqual((await Array.fromAsync(client.pin.ls({ names: true }))).map(({ cid, type, name }) => [cid.toString(), type, name]).filter(([, type]) => type !== 'indirect'), [[root.toString(), 'recursive', 'mine']])
  assert.deepEqual((await Array.fromAsync(client.pin.ls({ type: 'indirect' }))).map(({ type }) => type), ['indirect', 'indirect'])
  assert.deepEqual((await Array.fromAsync(client.pin.ls())).length, 3)
  assert.deepEqual((await Array.fromAsync(client.pin.ls({ paths: a }))).map(({ type }) => type), [`indirect through ${root}`])
  assert.deepEqual(await linesOf(node, 'pin/ls?type=recursive&names=true'), [{ Keys: { [root.toString()]: { Type: 'recursive', Name: 'mine' } } }])
  assert.deepEqual(await linesOf(node, 'pin/ls?type=direct'), [{ Keys: {} }])
  await assert.rejects(Array.fromAsync(client.pin.ls({ type: 'sideways' as 'direct' })), /invalid type/)
  await assert.rejects(Array.fromAsync(client.pin.ls({ paths: HELLO_V1 })), /is not pinned/)

  assert.deepEqual(await linesOf(node, 'pin/ls?name=in&stream=true'), [{ Cid: root.toString(), Type: 'recursive', Name: 'mine' }])
  assert.deepEqual(await linesOf(node, 'pin/ls?name=In'), [{ Keys: {} }])
  assert.deepEqual(await linesOf(node, `pin/ls?arg=${root}&names=true`), [{ Keys: { [root.toString()]: { Type: 'recursive', Name: 'mine' } } }])
  assert.equal((await fetch(`${node.ready.rpc}/api/v0/pin/add?arg=${root}&name=${'x'.repeat(256)}`, { method: 'POST' })).status, 400)
  assert.equal((await fetch(`${node.ready.rpc}/api/v0/pin/verify?verbose=true&quiet=true`, { method: 'POST' })).status, 400)
  assert.deepEqual(await linesOf(node, 'pin/verify?verbose=true'), [{ Cid: root.toString(), Ok: true }])
  const { cid: other } = await client.add('hello world', { pin: false })
  assert.deepEqual((await client.pin.update(root, other)).map(String), [root.toString(), other.toString()])
  assert.deepEqual((await Array.fromAsync(client.pin.ls({ names: true }))).map(({ cid, name }) => [cid.toString(), name]), [[other.toString(), 'mine']])
  await assert.rejects(client.pin.rm(other, { recursive: false }), /is pinned recursively/)
  assert.equal((await client.pin.rm(other)).toString(), other.toString())
  await assert.rejects(client.pin.rm(other), /not pinned/)
  await assert.rejects(client.pin.update(other, root), /not pinned/)
  await client.pin.add(other, { recursive: false })
  assert.deepEqual((await Array.fromAsync(client.pin.ls())).map(({ type }) => type), ['direct'])
  assert.deepEqual(await linesOf(node, `pin/add?arg=${root}&progress=true`).then((lines) => lines.at(-1)), { Pins: [root.toString()] })
})

test('the repository is measured, verified and cleaned, and tells what it removed', async (context) => {
  const { node, client } = await openRpc(context, [], 'fs')
  await client.add('kept')
  const { cid } = await client.add('garbage', { pin: false })
  const { numObjects, repoSize, repoPath, version, storageMax } = await client.repo.stat()
  assert.deepEqual([numObjects, repoSize, repoPath, version], [2n, 11n, node.repository, 'fs-repo@2'])
  assert.ok(storageMax > 11n)
  assert.deepEqual((await client.stats.repo()).numObjects, 2n)
  const removed = await Array.fromAsync(client.repo.gc())
  assert.deepEqual(removed.map(({ cid }) => cid?.multihash.bytes), [cid.multihash.bytes])
  assert.equal((await client.repo.stat()).numObjects, 1n)
  assert.deepEqual((await linesOf(node, 'repo/verify')).at(-1), { Msg: 'verify complete, all blocks validated.', Progress: 0 })
  assert.deepEqual((await linesOf(node, 'repo/verify?drop=true')).at(-1), { Msg: 'verify complete, all blocks validated.', Progress: 0 })
  // One byte of the block that is left.
  const file = execFileSync('find', [join(node.repository, 'blocks'), '-name', '*.data']).toString().trim()
  await writeFile(file, 'kepT')
  const response = await fetch(`${node.ready.rpc}/api/v0/repo/verify`, { method: 'POST' })
  assert.match(await response.text(), /was corrupt/)
  // Nobody could give it back, so healing touches nothing.
  for (const [query, words] of [['heal=true', /are not replaced/], ['heal=true&offline=true', /not fetched again offline/], ['drop=true&heal-timeout=soon', /not a duration/]] as const) {
    assert.match(await (await fetch(`${node.ready.rpc}/api/v0/repo/verify?${query}`, { method: 'POST' })).text(), words)
  }
  assert.equal((await client.repo.stat()).numObjects, 1n)
  const dropped = (await linesOf(node, 'repo/verify?drop=true') as Array<{ Msg: string }>).map(({ Msg }) => Msg).filter((text) => text !== '')
  assert.match(dropped.join('\n'), /^block \S+ was corrupt \(.*\), removed\nverify complete, 1 blocks corrupt, 1 removed$/)
  assert.equal((await client.repo.stat()).numObjects, 0n)
  // The pin is still there, and so is its content once somebody gives it again.
  await client.add('kept')
  assert.deepEqual((await linesOf(node, 'repo/verify')).at(-1), { Msg: 'verify complete, all blocks validated.', Progress: 0 })
})

test('damaged blocks are fetched again from a peer, are no cache afterwards, and what nobody has is told', async (context) => {
  const [first, second] = [await openRpc(context, ['--network', 'lan'], 'fs'), await openRpc(context, ['--network', 'lan'])]
  const { cid } = await first.client.add('shared by two')
  await second.client.add('shared by two')
  await first.client.add('mine alone')
  const loopback = (await second.client.swarm.localAddrs()).map(String).find((address) => address.startsWith('/ip4/127.0.0.1'))
  await first.client.swarm.connect(`${loopback}/p2p/${second.node.ready.peerId}` as never)
  for (const file of execFileSync('find', [join(first.node.repository, 'blocks'), '-name', '*.data']).toString().trim().split('\n')) await writeFile(file, 'damaged')
  const response = await fetch(`${first.node.ready.rpc}/api/v0/repo/verify?heal=true&heal-timeout=2s`, { method: 'POST' })
  const told = (await response.text()).split('\n').filter((line) => line.includes('was corrupt')).toSorted((a, b) => a.length - b.length)
  assert.equal(told.length, 2)
  assert.match(told[0] ?? '', /\), removed, healed"/)
  assert.match(told[1] ?? '', /\), failed to heal \(.+\)"/)
  assert.equal((await bytesOf(first.client.cat(cid, { offset: 0 }))).toString(), 'shared by two')
  // What nobody has is left as it is: somebody may make sense of it.
  assert.equal((await first.client.repo.stat()).numObjects, 2n)
  const [status] = await first.node.json<{ cache: { blockCount: number } }>(['repo', 'stat'])
  assert.equal(status?.cache.blockCount, 0)
})
