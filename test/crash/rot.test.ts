import assert from 'node:assert/strict'
import { mkdir, readFile, stat, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { newFolder, startNode, type TestNode } from '../harness.ts'
import { flipBit, packsOf } from '../packs.ts'
import { SEED, SeededRandom } from './seeded-random.ts'

/** Damages in all; more for a longer run. */
const DAMAGES = Number(process.env.DAMAGES ?? 1000)

/** Damages between a stop and a start. */
const DAMAGES_PER_ROUND = 250

/** Of these, files that are cut short. */
const CUTS_PER_ROUND = 6

/** Bytes that a cut takes at most. */
const MAX_CUT_BYTES = 20_000

/** Files, each of one block; and how long they are. */
const FILES = 1500
const FILE_BYTES = { least: 300, most: 5000 }

/** Enough for packs of 2 MiB, of which there are some then. */
const FLAGS = ['--storage-max-bytes', '64MiB']

/** Blocks that are read at once. */
const READS_AT_ONCE = 8

/** How long all of it may take for each round, in milliseconds. */
const ROUND_MS = 120_000

test('of random bit flips and cuts in packs, verify finds all, none is served, and a peer repairs them', { timeout: DAMAGES / DAMAGES_PER_ROUND * ROUND_MS }, async (context) => {
  context.diagnostic(`SEED=${SEED} DAMAGES=${DAMAGES}`)
  const peer = await startNode(context, { flags: ['--network', 'lan'] })
  let node = await startNode(context, { flags: FLAGS })
  const { repository } = node
  const contents = await fill(context, [node, peer])
  const address = peer.ready.swarm.find((address) => address.includes('/ip4/127.0.0.1/')) ?? ''
  let damagedCount = 0
  for (let round = 0; round * DAMAGES_PER_ROUND < DAMAGES; round++) {
    await node.end()
    const damaged = await damage(repository, contents, new SeededRandom(round, 'rot'))
    damagedCount += damaged.size

    node = await startNode(context, { repository, flags: FLAGS })
    const where = `round ${round} of SEED=${SEED}\n${node.log().slice(0, 4000)}`
    // Whoever comes first, the check or a reader, the other finds the same.
    if (round % 2 === 0) await requireFound(node, damaged, where)
    const refused = await read(node, contents)
    for (const cid of damaged) assert.ok(refused.has(cid), `${cid} is damaged and was served, ${where}`)
    if (round % 2 === 1) await requireFound(node, damaged, where)
    await node.end()

    node = await startNode(context, { repository, flags: [...FLAGS, '--network', 'lan'] })
    await node.ok(['connect', address])
    const { stdout } = await node.run(['repo', 'repair', '--from-peers'])
    // Where a name rotted a block seems to be there that never was. Nobody has it, and a collection lets go of it.
    const left = [...stdout.matchAll(/^damaged (\w+):/gm)].map(([, cid = '']) => cid)
    assert.deepEqual(left.filter((cid) => contents.has(cid)), [], `${stdout.slice(-2000)}, ${where}`)
    assert.deepEqual([...await read(node, contents)], [], where)
    if (left.length > 0) await node.ok(['gc'])
    assert.match(await node.ok(['repo', 'verify']), / 0 damaged/)
  }
  context.diagnostic(`${DAMAGES} damages left ${damagedCount} blocks without a sound copy: all found, none served, all repaired`)
})

/** Adds the same files to all nodes, and returns the bytes of each by its CID. */
async function fill (context: TestContext, nodes: readonly TestNode[]): Promise<Map<string, Buffer>> {
  const folder = await newFolder(context)
  const random = new SeededRandom('files')
  const bytesByName = new Map<string, Buffer>()
  await mkdir(join(folder, 'tree'))
  for (let index = 0; index < FILES; index++) {
    const bytes = random.bytes(random.integer(FILE_BYTES.least, FILE_BYTES.most))
    bytesByName.set(String(index), bytes)
    await writeFile(join(folder, 'tree', String(index)), bytes)
  }
  const contents = new Map<string, Buffer>()
  for (const node of nodes) {
    for (const { path, cid } of await node.json<{ path: string, cid: string }>(['add', '-r', join(folder, 'tree')])) {
      const bytes = bytesByName.get(path.slice('tree/'.length))
      if (bytes !== undefined) contents.set(cid, bytes)
    }
  }
  assert.equal(contents.size, FILES)
  return contents
}

/** Flips bits and cuts ends off at random, and returns which blocks no pack holds whole any more. */
async function damage (repository: string, contents: ReadonlyMap<string, Buffer>, random: SeededRandom): Promise<Set<string>> {
  const packs = await packsOf(repository)
  for (let count = 0; count < DAMAGES_PER_ROUND; count++) {
    const path = random.pick(packs) ?? ''
    const { size } = await stat(path)
    if (count < CUTS_PER_ROUND) await truncate(path, Math.max(size - random.integer(1, MAX_CUT_BYTES), 0))
    else if (size > 0) await flipBit(path, random.integer(0, size - 1), random.integer(0, 7))
  }
  const stored = Buffer.concat(await Promise.all(packs.map(async (path) => await readFile(path))))
  return new Set([...contents].filter(([, bytes]) => stored.indexOf(bytes) === -1).map(([cid]) => cid))
}

async function requireFound (node: TestNode, damaged: ReadonlySet<string>, where: string): Promise<void> {
  const { status, stdout } = await node.run(['repo', 'verify', '--json'])
  const found = new Set(stdout.split('\n').filter((line) => line !== '').map((line) => JSON.parse(line) as { damaged?: { cid: string } }).map(({ damaged }) => damaged?.cid))
  for (const cid of damaged) assert.ok(found.has(cid), `${cid} was not found, ${where}`)
  assert.equal(status, found.size > 1 ? 4 : 0)
}

/** Reads every block at the gateway: it comes whole, or not. Returns those that do not come. */
async function read (node: TestNode, contents: ReadonlyMap<string, Buffer>): Promise<Set<string>> {
  const refused = new Set<string>()
  const entries = contents.entries()
  await Promise.all(Array.from({ length: READS_AT_ONCE }, async () => {
    for (const [cid, content] of entries) {
      const bytes = await fetch(`${node.ready.gateway}/ipfs/${cid}?format=raw`).then(async (response) => response.ok ? Buffer.from(await response.arrayBuffer()) : undefined, () => undefined)
      if (bytes === undefined) refused.add(cid)
      else assert.ok(bytes.equals(content), `${cid} was served with other bytes`)
    }
  }))
  return refused
}
