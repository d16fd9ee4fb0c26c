import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { newFolder, startNode, type TestNode } from './harness.ts'

/** Three leaves of a mebibyte and a part of one. */
const CONTENT_BYTES = 3_200_000
const LEAF_COUNT = 4

interface Added {
  readonly node: TestNode
  readonly path: string
  readonly content: Buffer
  readonly cid: string
}

interface RepoStat {
  readonly blockCount: number
  readonly byteLength: number
  readonly inPlace: { readonly blockCount: number, readonly byteLength: number, readonly fileCount: number }
}

/** A node to which a file was added without a copy. */
async function addInPlace (context: TestContext, options: Parameters<typeof startNode>[1] = {}): Promise<Added> {
  const node = await startNode(context, options)
  const path = join(await newFolder(context), 'film.mp4')
  const content = randomBytes(CONTENT_BYTES)
  await writeFile(path, content)
  return { node, path, content, cid: await node.ok(['add', '-Q', '--nocopy', path]) }
}

async function statOf (node: TestNode): Promise<RepoStat> {
  const [stat] = await node.json<RepoStat>(['repo', 'stat'])
  assert.ok(stat !== undefined)
  return stat
}

async function bytesAt (node: TestNode, cid: string): Promise<{ status: number, bytes: Buffer }> {
  const response = await fetch(`${node.ready.gateway}/ipfs/${cid}`).then(async (answer) => ({ status: answer.status, bytes: Buffer.from(await answer.arrayBuffer()) }))
  return response
}

for (const engine of ['pack', 'fs'] as const) {
  test(`a file that is added without a copy has the CID of one with a copy, is served from where it lies, and stays so after a kill (${engine})`, async (context) => {
    const { node, path, content, cid } = await addInPlace(context, { engine })
    assert.equal(cid, await node.ok(['add', '-Qn', path]))
    assert.ok((await bytesAt(node, cid)).bytes.equals(content))
    const before = await statOf(node)
    assert.deepEqual(before.inPlace, { blockCount: LEAF_COUNT, byteLength: CONTENT_BYTES, fileCount: 1 })
    assert.ok(before.byteLength < 1000, `${before.byteLength} bytes are stored`)
    assert.match(await node.ok(['repo', 'stat']), /In place +4 more, 3\.1 MiB in 1 file of yours/)

    await node.end('SIGKILL')
    const again = await startNode(context, { repository: node.repository })
    assert.ok((await bytesAt(again, cid)).bytes.equals(content))
    assert.deepEqual((await statOf(again)).inPlace, before.inPlace)
    assert.match(await again.ok(['pin', 'ls', cid]), /recursive/)
    assert.match(await again.ok(['repo', 'verify']), / 0 damaged/)
  })
}

test('a file that changed, or is gone, is told with its path, and serves again when it was put back', async (context) => {
  const { node, path, content, cid } = await addInPlace(context)
  await rename(path, `${path}.moved`)
  const gone = await node.run(['cat', cid])
  assert.deepEqual([gone.status, gone.stdout], [4, ''])
  assert.match(gone.stderr, /film\.mp4 at byte 0, and cannot be read there: there is no such file/)
  assert.match((await node.run(['filestore', 'verify'])).stdout, /^no-file bafkrei\w+ 1048576 .*film\.mp4 0$/m)

  const changed = Buffer.from(content)
  changed.fill(0, 2_000_000, 2_000_001)
  await writeFile(path, changed)
  const lines = await node.run(['filestore', 'verify'])
  assert.equal(lines.status, 4, lines.stderr)
  assert.deepEqual(lines.stdout.trim().split('\n').map((line) => [line.split(' ')[0], line.split(' ').at(-1)]).toSorted(), [['changed', '1048576'], ['ok', '0'], ['ok', '2097152'], ['ok', '3145728']])
  assert.equal((await node.run(['repo', 'verify'])).status, 4)
  const response = await fetch(`${node.ready.gateway}/ipfs/${cid}`, { headers: { range: 'bytes=1048576-1048580' } }).then(async (answer) => await answer.text().then((text) => ({ status: answer.status, text }), () => ({ status: 0, text: '' })))
  assert.notEqual(response.status, 206, 'no byte of a leaf that changed is served')

  await writeFile(path, content)
  assert.match(await node.ok(['repo', 'verify']), / 0 damaged/)
  assert.ok((await bytesAt(node, cid)).bytes.equals(content))
})

test('references are listed, go with the collection of what they are of, and leave the file alone', async (context) => {
  const { node, path, content, cid } = await addInPlace(context)
  const listed = await node.json<{ cid: string, path: string, offset: number, byteLength: number }>(['filestore', 'ls'])
  assert.deepEqual(listed.map(({ path, offset, byteLength }) => ({ path, offset, byteLength })).toSorted((a, b) => a.offset - b.offset), [0, 1, 2, 3].map((index) => ({ path, offset: index * 1_048_576, byteLength: Math.min(1_048_576, CONTENT_BYTES - index * 1_048_576) })))
  const [first] = listed
  assert.equal(await node.ok(['filestore', 'ls', first?.cid ?? '']), `${first?.cid} ${first?.byteLength} ${path} ${first?.offset}`)
  assert.equal((await node.run(['filestore', 'ls', cid])).status, 3, 'the root lies in no file')
  const lines = (await (await fetch(`${node.ready.rpc}/api/v0/filestore/verify`, { method: 'POST' })).text()).trim().split('\n').map((line) => JSON.parse(line) as object)
  assert.deepEqual(lines[0], { Status: 0, ErrorMsg: '', Key: { '/': first?.cid }, FilePath: path, Offset: first?.offset, Size: first?.byteLength })

  await node.ok(['gc'])
  assert.equal((await statOf(node)).inPlace.blockCount, LEAF_COUNT, 'what is pinned stays')
  await node.ok(['pin', 'rm', cid])
  await node.ok(['gc'])
  assert.deepEqual((await statOf(node)).inPlace, { blockCount: 0, byteLength: 0, fileCount: 0 })
  assert.equal((await node.run(['cat', cid])).status, 3)
  assert.ok((await readFile(path)).equals(content))
  await node.end()
  assert.equal(await (await startNode(context, { repository: node.repository })).ok(['filestore', 'ls']), '')
})

test('adding with a copy takes the place of the references, and what is stored is not referred to', async (context) => {
  const { node, path, content, cid } = await addInPlace(context)
  assert.equal(await node.ok(['add', '-Q', path]), cid)
  assert.equal((await statOf(node)).inPlace.blockCount, 0)
  assert.equal(await node.ok(['add', '-Q', '--nocopy', path]), cid)
  assert.equal((await statOf(node)).inPlace.blockCount, 0)
  await rm(path)
  assert.ok((await bytesAt(node, cid)).bytes.equals(content))
})

test('a folder is added without copies, and every recipe with raw leaves can be', async (context) => {
  const node = await startNode(context)
  const folder = await newFolder(context)
  await mkdir(join(folder, 'below'))
  for (const [name, byteLength] of [['empty', 0], ['small', 20], ['below/large', 700_000]] as const) await writeFile(join(folder, name), randomBytes(byteLength))
  for (const flags of [[], ['--chunker', 'rabin'], ['--trickle', '--chunker', 'size-1000'], ['--profile', 'unixfs-v0-2015'], ['--hash', 'blake3'], ['--inline', '--inline-limit', '30']]) {
    const cid = await node.ok(['add', '-rQ', '--nocopy', ...flags, folder])
    assert.equal(cid, await node.ok(['add', '-rQn', '--raw-leaves', ...flags, folder]), flags.join(' '))
    const target = join(await newFolder(context), 'out')
    await node.ok(['get', cid, '-o', target])
    for (const name of ['empty', 'small', 'below/large']) assert.ok((await readFile(join(target, name))).equals(await readFile(join(folder, name))), `${name} with ${flags.join(' ')}`)
  }
  assert.match(await node.ok(['filestore', 'verify']), /^(ok .*\n?)+$/)
})

test('what cannot be referred to in place is refused, and why', async (context) => {
  const node = await startNode(context)
  const path = join(await newFolder(context), 'file')
  await writeFile(path, 'content')
  const refusals: ReadonlyArray<readonly [words: RegExp, args: string[], stdin?: string]> = [
    [/Standard input cannot be referred to/, ['add', '--nocopy'], 'content'],
    [/cannot go with --no-raw-leaves/, ['add', '--nocopy', '--no-raw-leaves', path]],
    [/archive cannot be referred to in place/, ['add', '--nocopy', '--tar', path]],
    [/cannot go with --preserve-mode/, ['add', '--nocopy', '--preserve-mode', path]],
    [/it is a file of the repository/, ['add', '--nocopy', join(node.repository, 'version')]]
  ]
  for (const [words, args, stdin] of refusals) {
    const { status, stderr } = await node.run(args, { stdin })
    assert.equal(status, 2, `${args.join(' ')}: ${stderr}`)
    assert.match(stderr, words)
  }
  const body = new FormData()
  body.append('file', new Blob(['content']), 'file')
  const remote = await fetch(`${node.ready.rpc}/api/v0/add?nocopy=true`, { method: 'POST', body })
  assert.ok(remote.status >= 400, 'nobody but the owner of the door says what files of this machine are served')
  assert.match(await remote.text(), /nocopy/)
  assert.equal(await node.ok(['filestore', 'ls']), '')
})

test('other nodes fetch what lies in a file, and give it back when the file is gone', async (context) => {
  const flags = ['--network', 'lan']
  const { node, path, content, cid } = await addInPlace(context, { flags })
  const peer = await startNode(context, { flags })
  await peer.ok(['connect', node.ready.swarm.find((address) => address.includes('/ip4/127.0.0.1/')) ?? ''])
  await peer.ok(['pin', 'add', cid])
  assert.deepEqual((await statOf(peer)).inPlace.blockCount, 0, 'a copy is of real blocks')

  await rm(path)
  assert.match(await node.ok(['repo', 'repair', '--from-peers']), /4/)
  assert.ok((await bytesAt(node, cid)).bytes.equals(content))
  assert.equal((await statOf(node)).inPlace.blockCount, 0)
  assert.match(await node.ok(['repo', 'verify']), / 0 damaged/)
})
