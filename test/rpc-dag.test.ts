import { encodeCarHeader, encodeCarSection, readCar } from '@holdfast/car'
import { Block } from '@holdfast/core'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CID } from 'multiformats/cid'
import { bytesOf, form, HELLO_V1, linesOf, NOWHERE, openRpc } from './rpc-client.ts'

test('blocks are put, got, measured and removed, unless something keeps them', async (context) => {
  const { node, client } = await openRpc(context)
  const bytes = Buffer.from('a block')
  const cid = await client.block.put(bytes)
  assert.equal(cid.toString(), (await Block.of(bytes)).cid.toString())
  assert.deepEqual(Buffer.from(await client.block.get(cid)), bytes)
  assert.deepEqual((await client.block.stat(cid)).size, 7)
  const response = await fetch(`${node.ready.rpc}/api/v0/block/get?arg=${cid}`, { method: 'POST' })
  assert.equal(response.headers.get('content-type'), 'application/vnd.ipld.raw')
  assert.equal((await client.block.put(Buffer.from([]), { format: 'v0' })).version, 0)
  assert.equal((await client.block.put(Buffer.from([0xa0]), { format: 'dag-cbor', mhtype: 'sha2-512' })).multihash.code, 0x13)
  await assert.rejects(client.block.put(Buffer.alloc(2 * 1024 * 1024 + 1)), /produced block is over 2MiB/)

  await client.pin.add(cid, { recursive: false })
  assert.match((await Array.fromAsync(client.block.rm(cid)))[0]?.error?.message ?? '', /pinned: direct/)
  await client.pin.rm(cid)
  assert.deepEqual((await Array.fromAsync(client.block.rm(cid))).map(({ cid, error }) => [cid.toString(), error]), [[cid.toString(), undefined]])
  assert.match((await Array.fromAsync(client.block.rm(cid)))[0]?.error?.message ?? '', /could not find/)
  assert.deepEqual(await Array.fromAsync(client.block.rm(cid, { force: true })), [])
  const entries = await Array.fromAsync(client.addAll([{ path: 'below', content: 'below a pin' }], { wrapWithDirectory: true }))
  assert.match((await Array.fromAsync(client.block.rm(entries[0]?.cid ?? cid)))[0]?.error?.message ?? '', /pinned: indirect/)
})

test('IPLD values are put, got in another codec, resolved and counted', async (context) => {
  const { node, client } = await openRpc(context)
  const { cid: leaf } = await client.add('hello world')
  const value = { name: 'x', to: leaf, list: [1, { deep: true }] }
  const cid = await client.dag.put(value, { pin: true })
  assert.equal(cid.code, 0x71)
  assert.deepEqual((await client.dag.get(cid)).value, value)
  assert.equal((await client.dag.get(cid, { path: 'list/1/deep' })).value, true)
  assert.deepEqual(await (await fetch(`${node.ready.rpc}/api/v0/dag/get?arg=${cid}/list/1`, { method: 'POST' })).json(), { deep: true })
  assert.deepEqual(await (await fetch(`${node.ready.rpc}/api/v0/dag/get?arg=${cid}`, { method: 'POST' })).json(), { name: 'x', to: { '/': HELLO_V1 }, list: [1, { deep: true }] })
  const resolved = await client.dag.resolve(cid, { path: 'to' })
  assert.deepEqual([resolved.cid.toString(), resolved.remainderPath], [HELLO_V1, ''])
  assert.equal((await client.dag.resolve(cid, { path: 'list/1' })).remainderPath, 'list/1')
  assert.equal(await client.resolve(`/ipfs/${cid}/to`), `/ipfs/${HELLO_V1}`)

  const [json] = await linesOf(node, 'dag/put', { body: form('{"a":{"/":"bafkqaaa"}}') }) as [{ Cid: { '/': string } }]
  assert.equal(CID.parse(json.Cid['/']).code, 0x71)
  const [pb] = await linesOf(node, 'dag/put?store-codec=dag-pb', { body: form(`{"Links":[{"Hash":{"/":"${HELLO_V1}"},"Name":"n","Tsize":11}]}`) }) as [{ Cid: { '/': string } }]
  assert.deepEqual(await (await fetch(`${node.ready.rpc}/api/v0/dag/get?arg=${pb.Cid['/']}`, { method: 'POST' })).json(), { Links: [{ Hash: { '/': HELLO_V1 }, Name: 'n', Tsize: 11 }] })
  for (const [query, body] of [['', '{"a":'], ['?store-codec=dag-pb', '{"Links":1}'], ['?input-codec=dag-cbor', '\xff'], ['?store-codec=git-raw', '{}']] as const) {
    const refused = await fetch(`${node.ready.rpc}/api/v0/dag/put${query}`, { method: 'POST', body: form(body) })
    assert.ok(refused.status === 400 || refused.status === 500, `${query} ${refused.status}`)
    assert.equal((await refused.json() as { Type: string }).Type, 'error')
  }
  const [stat] = await linesOf(node, `dag/stat?arg=${cid}&arg=${HELLO_V1}`) as [{ UniqueBlocks: number, TotalSize: number, SharedSize: number, DagStats: object[] }]
  assert.deepEqual([stat.UniqueBlocks, stat.SharedSize], [2, 11])
  assert.deepEqual(stat.DagStats[1], { Cid: HELLO_V1, Size: 11, NumBlocks: 1 })
  const progress = await linesOf(node, `dag/stat?arg=${cid}&progress=true`) as Array<{ Ratio?: number, TotalSize: number, DagStats: object[] }>
  assert.ok(progress.length > 1 && progress[0]?.Ratio === undefined && progress[0]?.DagStats.length === 1 && progress.at(-1)?.Ratio === 1)
})

test('archives go out and come in again, roots are pinned, and what cannot be pinned says why', async (context) => {
  const { node, client } = await openRpc(context)
  const other = await openRpc(context)
  const entries = await Array.fromAsync(client.addAll([{ path: 'a', content: 'A' }, { path: 'b', content: 'B' }], { wrapWithDirectory: true }))
  const root = entries.at(-1)?.cid
  assert.ok(root !== undefined)
  const car = await bytesOf(client.dag.export(root))
  async function * source (): AsyncIterable<Uint8Array> { yield car }
  const [imported] = await Array.fromAsync(other.client.dag.import(source()))
  assert.deepEqual([imported?.root.cid.toString(), imported?.root.pinErrorMsg], [root.toString(), ''])
  assert.equal((await bytesOf(other.client.cat(`/ipfs/${root}/a`))).toString(), 'A')
  const response = await fetch(`${node.ready.rpc}/api/v0/dag/export?arg=${root}`, { method: 'POST' })
  assert.equal(response.headers.get('content-type'), 'application/vnd.ipld.car')

  const lone = await Block.of(Buffer.from('lone'))
  const partial = Buffer.concat([encodeCarHeader([CID.parse(NOWHERE), lone.cid]), ...encodeCarSection(lone)])
  const lines = await linesOf(node, 'dag/import?stats=true', { body: form(new Uint8Array(partial)) }) as Array<{ Root?: { Cid: object, PinErrorMsg: string }, Stats?: object }>
  assert.match(lines[0]?.Root?.PinErrorMsg ?? '', /was not found/)
  assert.deepEqual(lines[1], { Root: { Cid: { '/': lone.cid.toString() }, PinErrorMsg: '' } })
  assert.deepEqual(lines[2], { Stats: { BlockCount: 1, BlockBytesCount: 4 } })
  // One DAG in two archives, its root in the first.
  const pieces = form(new Uint8Array(Buffer.concat([encodeCarHeader([root]), ...encodeCarSection(lone)])), 'first.car')
  pieces.append('file', new Blob([new Uint8Array(car)]), 'second.car')
  const third = await openRpc(context)
  assert.deepEqual(await linesOf(third.node, 'dag/import', { body: pieces }), [{ Root: { Cid: { '/': root.toString() }, PinErrorMsg: '' } }])
  const broken = await fetch(`${node.ready.rpc}/api/v0/dag/import`, { method: 'POST', body: form('no archive') })
  assert.ok(broken.status >= 400)
})

test('a DAG of which parts are missing is exported only when only what is here is asked for', async (context) => {
  const { node, client } = await openRpc(context)
  const entries = await Array.fromAsync(client.addAll([{ path: 'a', content: 'A' }, { path: 'b', content: 'B' }], { wrapWithDirectory: true, pin: false }))
  const [a, b, root] = entries.map(({ cid }) => cid)
  assert.ok(a !== undefined && b !== undefined && root !== undefined)
  await Array.fromAsync(client.block.rm(a))
  const exported = async (query: string): Promise<Response> => await fetch(`${node.ready.rpc}/api/v0/dag/export?arg=${query}`, { method: 'POST' })
  const { blocks } = await readCar((await exported(`${root}&local-only=true`)).body ?? assert.fail())
  assert.deepEqual((await Array.fromAsync(blocks)).map(({ cid }) => cid.toString()), [root, b].map(String))
  // The trailer is lost on fetch: what comes is cut short.
  const missing = await exported(`${a}&local-only=true`)
  assert.equal(missing.status, 500)
  assert.match(await missing.text(), /was not found/)
  const again = await linesOf(node, 'dag/import?local-only=true&stats=true', { body: form(new Uint8Array(await (await exported(`${root}&local-only=true`)).arrayBuffer())) })
  assert.deepEqual(again, [{ Stats: { BlockCount: 2, BlockBytesCount: Number(entries.at(-1)?.size) - 1 } }])
})
