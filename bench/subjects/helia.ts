/**
 * Helia with blockstore-fs, in a process of its own: `add PATH REPOSITORY`, `add-tree …`, `cat CID REPOSITORY`.
 * Prints the seconds of the work alone, without the start of the process.
 */
import { unixfs } from '@helia/unixfs'
import { FsBlockstore } from 'blockstore-fs'
import { createHeliaLight } from 'helia'
import { CID } from 'multiformats/cid'
import { createReadStream } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'

const [work = '', what = '', repository = ''] = process.argv.slice(2)
const blockstore = new FsBlockstore(repository)
await blockstore.open()
const helia = createHeliaLight({ blockstore })
const fs = unixfs(helia)

async function * tree (folder: string): AsyncGenerator<{ path: string, content: AsyncIterable<Uint8Array> }> {
  for (const name of await readdir(folder)) yield { path: `tree/${name}`, content: createReadStream(join(folder, name)) }
}

const startedMs = performance.now()
let result = ''
if (work === 'add') {
  // 1 MiB reads are the friendly case: Node's default of 64 KiB halves this importer.
  result = (await fs.addByteStream(createReadStream(what, { highWaterMark: 1 << 20 }))).toString()
} else if (work === 'add-tree') {
  for await (const { cid } of fs.addAll(tree(what))) result = cid.toString()
} else {
  let byteLength = 0
  for await (const piece of fs.cat(CID.parse(what))) byteLength += piece.byteLength
  result = String(byteLength)
}
console.log(JSON.stringify({ seconds: (performance.now() - startedMs) / 1000, result, rss: process.resourceUsage().maxRSS * 1024 }))
process.exit(0)
