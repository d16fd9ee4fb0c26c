import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { CID } from 'multiformats/cid'
import { newFolder } from './harness.ts'
import { bytesOf, HELLO_V1, linesOf, NOWHERE, openRpc } from './rpc-client.ts'

test('cat gives content, parts of it and that of several paths', async (context) => {
  const { node, client } = await openRpc(context)
  const content = Buffer.from(Array.from({ length: 3_000_000 }, (_, index) => (index * 7) % 251))
  const { cid } = await client.add(content)
  assert.equal(Buffer.compare(await bytesOf(client.cat(cid)), content), 0)
  for (const [offset, length] of [[0, 0], [0, 1], [1_048_575, 2], [2_999_999, 10], [5_000_000, 1]] as const) {
    assert.deepEqual(await bytesOf(client.cat(cid, { offset, length })), content.subarray(offset, offset + length), `${offset} ${length}`)
  }
  const [first] = await Array.fromAsync(client.addAll([{ path: 'd/f', content: 'in a directory' }], { wrapWithDirectory: true })).then((entries) => entries.slice(-1))
  assert.equal((await bytesOf(client.cat(`/ipfs/${first?.cid}/d/f`))).toString(), 'in a directory')
  const both = await fetch(`${node.ready.rpc}/api/v0/cat?arg=${HELLO_V1}&arg=${HELLO_V1}&offset=9&length=6`, { method: 'POST' })
  assert.equal(both.status, 500)
  await client.add('hello world')
  assert.equal(await (await fetch(`${node.ready.rpc}/api/v0/cat?arg=${HELLO_V1}&arg=${HELLO_V1}&offset=9&length=6`, { method: 'POST' })).text(), 'ldhell')
  await assert.rejects(bytesOf(client.cat(`${first?.cid}`)), /is a directory/)
})

test('get gives an archive that tar unpacks, also compressed, and a lone file compressed', async (context) => {
  const { client } = await openRpc(context)
  const entries = await Array.fromAsync(client.addAll([{ path: 'top/a.txt', content: 'A' }, { path: 'top/in/b.txt', content: 'B' }], { wrapWithDirectory: true }))
  const root = entries.at(-1)?.cid
  const folder = await newFolder(context)
  for (const [name, options, flags] of [['plain.tar', {}, '-xf'], ['packed.tgz', { archive: true, compress: true, compressionLevel: 9 }, '-xzf']] as const) {
    const into = join(folder, name.replace('.', '-'))
    await mkdir(into)
    await writeFile(join(folder, name), await bytesOf(client.get(`/ipfs/${root}/top`, options)))
    execFileSync('tar', [flags, join(folder, name), '-C', into])
    assert.equal(await readFile(join(into, 'top/in/b.txt'), 'utf8'), 'B')
  }
  await writeFile(join(folder, 'a.gz'), await bytesOf(client.get(`/ipfs/${root}/top/a.txt`, { compress: true })))
  assert.equal(execFileSync('gunzip', ['-c', join(folder, 'a.gz')]).toString(), 'A')
})

test('ls lists a directory as Kubo does, whole or as a stream', async (context) => {
  const { node, client } = await openRpc(context)
  const entries = await Array.fromAsync(client.addAll([{ path: 'in/b', content: 'BB' }, { path: 'a', content: 'A' }], { wrapWithDirectory: true }))
  const root = String(entries.at(-1)?.cid)
  assert.deepEqual((await Array.fromAsync(client.ls(root))).map(({ name, type, size, path }) => [name, type, size, path]), [['a', 'file', 1, `${root}/a`], ['in', 'dir', 0, `${root}/in`]])
  const [whole] = await linesOf(node, `ls?arg=${root}`) as Array<{ Objects: Array<{ Hash: string, Links: object[] }> }>
  const streamed = await linesOf(node, `ls?arg=${root}&stream=true`) as Array<{ Objects: Array<{ Hash: string, Links: object[] }> }>
  assert.equal(whole?.Objects[0]?.Hash, root)
  assert.deepEqual(streamed.map(({ Objects }) => Objects[0]?.Links[0]), whole?.Objects[0]?.Links)
  assert.deepEqual(Object.keys(whole?.Objects[0]?.Links[0] ?? {}), ['Name', 'Hash', 'Size', 'Type', 'Target'])
  // Without reading what is listed only raw leaves are known for what they are.
  const unread = (await linesOf(node, `ls?arg=${root}&size=false&resolve-type=false`) as Array<{ Objects: Array<{ Links: Array<{ Name: string, Size: number, Type: number }> }> }>)[0]?.Objects[0]?.Links
  assert.deepEqual(unread?.map(({ Name, Size, Type }) => [Name, Size, Type]), [['a', 1, 2], ['in', 0, 0]])
  for (const query of ['size=false', 'resolve-type=false']) assert.deepEqual(await linesOf(node, `ls?arg=${root}&${query}`), [whole], query)
  assert.deepEqual(await linesOf(node, `ls?arg=${root}/a`), [{ Objects: [{ Hash: `${root}/a`, Links: [] }] }])
})

test('refs tells links once or always, to a depth, in any format', async (context) => {
  const { node, client } = await openRpc(context)
  const entries = await Array.fromAsync(client.addAll([{ path: 'd/a', content: 'A' }, { path: 'd/same', content: 'A' }], { wrapWithDirectory: true }))
  const root = String(entries.at(-1)?.cid)
  const [a, d] = ['d/a', 'd'].map((name) => String(entries.find(({ path }) => path === name)?.cid))
  const refsOf = async (options: object): Promise<string[]> => (await Array.fromAsync(client.refs(root, options))).map(({ ref }) => ref)
  assert.deepEqual(await refsOf({}), [d])
  assert.deepEqual(await refsOf({ recursive: true }), [d, a, a])
  assert.deepEqual(await refsOf({ recursive: true, unique: true }), [d, a])
  assert.deepEqual(await refsOf({ recursive: true, maxDepth: 1 }), [d])
  assert.deepEqual(await refsOf({ recursive: true, maxDepth: 0 }), [])
  assert.deepEqual(await refsOf({ format: '<linkname>: <src> <dst>' }), [`d: ${root} ${d}`])
  assert.deepEqual(await refsOf({ edges: true }), [`${root} -> ${d}`])
  assert.equal((await Array.fromAsync(client.refs.local())).length, 3)
  // The same directory below another one, where max-depth ends, and then higher up.
  const twice = String((await Array.fromAsync(client.addAll([{ path: 'a/d/f', content: 'F' }, { path: 'd/f', content: 'F' }], { wrapWithDirectory: true }))).at(-1)?.cid)
  const names = async (options: object): Promise<string[]> => (await Array.fromAsync(client.refs(twice, { recursive: true, format: '<linkname>', ...options }))).map(({ ref }) => ref)
  assert.deepEqual(await names({ unique: true, maxDepth: 2 }), ['a', 'd', 'f'])
  assert.deepEqual(await names({ unique: true }), ['a', 'd', 'f'])
  assert.deepEqual(await names({ maxDepth: 2 }), ['a', 'd', 'd', 'f'])
  // What is missing below is a line, and the next root follows.
  const holes = await client.dag.put({ hole: CID.parse(NOWHERE), deeper: [CID.parse(root)] })
  const cbor = await client.dag.put([holes])
  assert.match((await linesOf(node, `refs?arg=${cbor}&arg=${root}&recursive=true&format=<dst>`) as Array<{ Ref: string, Err: string }>).map(({ Ref, Err }) => Err === '' ? Ref : `Err: ${Err}`).join('\n'), new RegExp(`^${holes}\\n[^]*Err: .*${NOWHERE}.*\\n${d}\\n${a}\\n${a}$`))
  for (const query of ['edges=true&format=<src>', 'recursive=true&max-depth=-2', 'recursive=perhaps']) assert.equal((await fetch(`${node.ready.rpc}/api/v0/refs?arg=${root}&${query}`, { method: 'POST' })).status, 400, query)
  assert.deepEqual((await linesOf(node, `refs?arg=${root}`))[0], { Ref: d, Err: '' })
})

test('files stat answers for /ipfs paths and refuses what it does not have', async (context) => {
  const { client } = await openRpc(context)
  const entries = await Array.fromAsync(client.addAll([{ path: 'a', content: Buffer.alloc(3_000_000) }], { wrapWithDirectory: true }))
  const root = entries.at(-1)
  const directory = await client.files.stat(`/ipfs/${root?.cid}`)
  assert.deepEqual([directory.type, directory.size, directory.blocks, directory.cumulativeSize], ['directory', 0, 1, root?.size])
  const file = await client.files.stat(`/ipfs/${root?.cid}/a`)
  assert.deepEqual([file.type, file.size, file.blocks], ['file', 3_000_000, 3])
  await assert.rejects(client.files.stat('/in/mfs'), /no mutable file system/)
})

test('files stat tells how much of a DAG is here when it is asked to', async (context) => {
  const { client } = await openRpc(context)
  const entries = await Array.fromAsync(client.addAll([{ path: 'a', content: 'A' }, { path: 'b', content: 'BB' }], { wrapWithDirectory: true, pin: false }))
  const [, b, root] = entries
  const whole = await client.files.stat(`/ipfs/${root?.cid}`, { withLocal: true })
  assert.deepEqual([whole.withLocality, whole.local, whole.sizeLocal], [true, true, root?.size])
  await Array.fromAsync(client.block.rm(b?.cid ?? CID.parse(NOWHERE)))
  const partly = await client.files.stat(`/ipfs/${root?.cid}`, { withLocal: true })
  assert.deepEqual([partly.withLocality, partly.local, partly.sizeLocal, partly.cumulativeSize], [true, false, Number(root?.size) - 2, root?.size])
  assert.equal((await client.files.stat(`/ipfs/${root?.cid}`)).withLocality, false)
})

test('names that are paths resolve to themselves; others are a clear failure', async (context) => {
  const { client } = await openRpc(context)
  assert.deepEqual(await Array.fromAsync(client.name.resolve(`/ipfs/${HELLO_V1}`)), [`/ipfs/${HELLO_V1}`])
  await assert.rejects(Array.fromAsync(client.name.resolve('/ipns/example.org')), /Names are not resolved yet/)
  await assert.rejects(client.resolve('/ipns/example.org'), /Names are not resolved yet/)
})
