/**
 * @ipld/car with blockstore-fs, in a process of its own: `import CAR REPOSITORY`, `export ROOT REPOSITORY CAR`.
 * Prints the seconds of the work alone, without the start of the process.
 *
 * Neither checks a block. Importing hashes each, since one that was not checked is no import; exporting walks the links as they come.
 */
import { CarBlockIterator, CarWriter } from '@ipld/car'
import { Block, linksOf } from '@holdfast/core'
import { FsBlockstore } from 'blockstore-fs'
import { CID } from 'multiformats/cid'
import { createReadStream, createWriteStream } from 'node:fs'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'

const [work = '', what = '', repository = '', target = ''] = process.argv.slice(2)
const store = new FsBlockstore(repository)
await store.open()

const startedMs = performance.now()
await (work === 'import' ? importCar() : exportCar())
console.log(JSON.stringify({ seconds: (performance.now() - startedMs) / 1000 }))

async function importCar (): Promise<void> {
  const blocks = await CarBlockIterator.fromIterable(createReadStream(what, { highWaterMark: 1 << 20 }))
  async function * checked (): AsyncGenerator<{ cid: CID, bytes: Generator<Uint8Array> }> {
    for await (const { cid, bytes } of blocks) yield { cid, bytes: only((await Block.verify(cid, bytes)).bytes) }
  }
  for await (const _ of store.putMany(checked()));
}

function * only (bytes: Uint8Array): Generator<Uint8Array> {
  yield bytes
}

async function exportCar (): Promise<void> {
  const root = CID.parse(what)
  const { writer, out } = CarWriter.create([root])
  const writing = pipeline(Readable.from(out), createWriteStream(target))
  const waiting = [root]
  for (let cid = waiting.pop(); cid !== undefined; cid = waiting.pop()) {
    const block = await Block.verify(cid, await bytesOf(cid))
    await writer.put(block)
    waiting.push(...linksOf(block).toReversed())
  }
  await writer.close()
  await writing
}

async function bytesOf (cid: CID): Promise<Uint8Array> {
  const pieces: Uint8Array[] = []
  for await (const piece of store.get(cid)) pieces.push(piece)
  return pieces.length === 1 && pieces[0] !== undefined ? pieces[0] : Buffer.concat(pieces)
}
