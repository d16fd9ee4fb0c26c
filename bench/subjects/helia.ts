/**
 * Helia with blockstore-fs, in a process of its own: `add PATH REPOSITORY [CHUNK-BYTES LINKS]`, `add-tree …`, `cat CID REPOSITORY`.
 * Prints the seconds of the work alone, without the start of the process.
 */
import { unixfs } from '@helia/unixfs'
import { FsBlockstore } from 'blockstore-fs'
import { createHeliaLight } from 'helia'
import { CID } from 'multiformats/cid'
import { fixedSize } from 'ipfs-unixfs-importer/chunker'
import { balanced } from 'ipfs-unixfs-importer/layout'
import { createReadStream } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { join, relative } from 'node:path'

const [work = '', what = '', repository = '', chunkBytes = '1048576', links = '1024'] = process.argv.slice(2)
const blockstore = new FsBlockstore(repository)
await blockstore.open()
const helia = createHeliaLight({ blockstore })
const fs = unixfs(helia)

async function * tree (folder: string): AsyncGenerator<{ path: string, content: AsyncIterable<Uint8Array> }> {
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name)
    if (entry.isFile()) yield { path: `tree/${relative(folder, path)}`, content: createReadStream(path) }
  }
}

const startedMs = performance.now()
let result = ''
if (work === 'add') {
  // 1 MiB reads are the friendly case: Node's default of 64 KiB halves this importer.
  result = (await fs.addByteStream(createReadStream(what, { highWaterMark: 1 << 20 }), {
    chunker: fixedSize({ chunkSize: Number(chunkBytes) }),
    layout: balanced({ maxChildrenPerNode: Number(links) })
  })).toString()
} else if (work === 'add-tree') {
  for await (const { cid } of fs.addAll(tree(what))) result = cid.toString()
} else {
  let byteLength = 0
  for await (const piece of fs.cat(CID.parse(what))) byteLength += piece.byteLength
  result = String(byteLength)
}
console.log(JSON.stringify({ seconds: (performance.now() - startedMs) / 1000, result, rss: process.resourceUsage().maxRSS * 1024 }))
process.exit(0)
