import assert from 'node:assert/strict'
import { createReadStream } from 'node:fs'
import { open } from 'node:fs/promises'
import { get, type IncomingMessage } from 'node:http'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { test } from 'node:test'
import { newFolder, startNode, type TestNode } from './harness.ts'

const MIB = 1024 * 1024
const GIB = 1024 * MIB

/** What a node may hold in memory while it adds or serves a file of any length. */
const MAX_RSS_BYTES = 300 * MIB

/** Watches the memory of a node until it is disposed, and keeps the highest figure. */
function watchMemory (node: TestNode): { readonly highest: () => number } & AsyncDisposable {
  let highest = 0
  let isOver = false
  const watching = (async () => {
    while (!isOver) {
      highest = Math.max(highest, await node.rss())
      await sleep(20)
    }
  })()
  return {
    highest: () => highest,
    async [Symbol.asyncDispose] () {
      isOver = true
      await watching
    }
  }
}

/** A file of 2 GiB whose megabytes all differ, and which takes as little of the disk as its blocks allow. */
async function largeFile (path: string): Promise<void> {
  await using file = await open(path, 'w')
  const piece = Buffer.alloc(MIB, 'holdfast')
  for (let index = 0; index < 2 * GIB / MIB; index++) {
    piece.writeUInt32BE(index, 0)
    await file.write(piece)
  }
}

test('2 GiB are added, and served to a reader that stops reading, in flat memory', { skip: process.platform !== 'linux' && 'memory is read from /proc' }, async (context) => {
  const node = await startNode(context)
  const path = join(await newFolder(context), 'large')
  await largeFile(path)

  let cid = ''
  {
    await using memory = watchMemory(node)
    cid = await node.ok(['add', '-Q', path])
    assert.ok(memory.highest() < MAX_RSS_BYTES, `adding took ${Math.round(memory.highest() / MIB)} MiB`)
  }
  {
    await using memory = watchMemory(node)
    const response = await new Promise<IncomingMessage>((resolve, reject) => { get(`${node.ready.gateway}/ipfs/${cid}`, resolve).on('error', reject) })
    assert.equal(response.headers['content-length'], String(2 * GIB))
    response.once('data', () => { response.pause() })
    await sleep(3000)
    assert.ok(memory.highest() < MAX_RSS_BYTES, `a reader that stopped cost ${Math.round(memory.highest() / MIB)} MiB`)
    response.destroy()
  }
  {
    await using memory = watchMemory(node)
    const added = await node.ok(['cat', '--offset', String(2 * GIB - 3), cid])
    assert.equal(added.length, 3)
    assert.ok(memory.highest() < MAX_RSS_BYTES)
  }
})

test('standard input is taken only as fast as it is stored', { skip: process.platform !== 'linux' && 'memory is read from /proc' }, async (context) => {
  const node = await startNode(context)
  const path = join(await newFolder(context), 'large')
  await largeFile(path)
  await using memory = watchMemory(node)
  const { createApiClient } = await import('@holdfast/api/client')
  const client = createApiClient(join(node.repository, 'api.sock'))
  let read = 0
  async function * body (): AsyncIterable<Uint8Array> {
    for await (const piece of createReadStream(path, { highWaterMark: MIB, end: GIB - 1 })) {
      read += (piece as Buffer).byteLength
      yield piece as Buffer
    }
  }
  let root = 0
  for await (const answer of client.call('add', { paths: [] }, { body: body() })) {
    if (answer.type === 'event' && 'entry' in answer.event && answer.event.isRoot) root = answer.event.entry.byteLength ?? 0
  }
  assert.equal(root, GIB)
  assert.equal(read, GIB)
  assert.ok(memory.highest() < MAX_RSS_BYTES, `${Math.round(memory.highest() / MIB)} MiB`)
})
