import { openPackBlockstore, openPackReader } from '@holdfast/blockstore/pack'
import { isErrorCode } from '@holdfast/core'
import { fixturePath } from '@holdfast/testkit'
import { CID } from 'multiformats/cid'
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { cp, mkdir, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { HOLDFAST, holdfast, newFolder, startNode, type TestNode } from './harness.ts'
import { packsOf, rot } from './packs.ts'

const MIB = 1024 * 1024

/** What every sample holds: fixtures/repositories/README.md of testkit. */
const SAMPLE_ROOT = 'bafybeidxxafs24pbh6yegg3espwkpcbhlzowjwydfjru5akvign24cvrlu'
const SAMPLE_UNPINNED = 'bafkreidlp2eupiivi2bszkeeou7fqv4luw3bgv55sn3pks5utxlsuzwxee'

for (const [version, engine] of [[1, 'fs'], [2, 'pack']] as const) {
  test(`a repository of version ${version} opens with all that it holds, and keeps its engine`, async (context) => {
    const repository = join(await newFolder(context), 'repository')
    await cp(fixturePath(`repositories/version-${version}`), repository, { recursive: true })
    const node = await startNode(context, { repository })
    assert.equal(node.ready.engine, engine)
    assert.equal(await node.ok(['pin', 'ls']), `${SAMPLE_ROOT}  recursive  sample of version ${version}`)
    assert.equal(await node.ok(['cat', `${SAMPLE_ROOT}/kelp.txt`]), 'kelp')
    assert.equal(await node.ok(['cat', `${SAMPLE_ROOT}/sub/rock.txt`]), 'rock')
    assert.equal(await node.ok(['cat', SAMPLE_UNPINNED]), 'without a pin')
    assert.match(await node.ok(['repo', 'verify']), / 0 damaged/)
    assert.equal(await readFile(join(repository, 'version'), 'utf8'), '2\n')
    await node.ok(['gc', '--full'])
    assert.equal((await node.run(['stat', '--no-dag', SAMPLE_UNPINNED])).status, 3)
    assert.equal(await node.ok(['cat', `${SAMPLE_ROOT}/kelp.txt`]), 'kelp')
  })
}

/** Adds files, some below a pin and some not, and returns what each CID must give. */
async function fill (node: TestNode, count: number): Promise<Map<string, Buffer>> {
  const files = new Map<string, Buffer>()
  for (let index = 0; index < count; index++) {
    const content = randomBytes(MIB)
    files.set(await node.ok(['add', '-Q', ...(index % 2 === 0 ? ['--no-pin'] : [])], { stdin: content }), content)
  }
  return files
}

async function requireFiles (node: TestNode, files: ReadonlyMap<string, Buffer>): Promise<void> {
  for (const [cid, content] of files) {
    const response = await fetch(`${node.ready.gateway}/ipfs/${cid}`)
    assert.ok(Buffer.from(await response.arrayBuffer()).equals(content), `${cid} is whole`)
  }
}

for (const [from, to] of [['fs', 'pack'], ['pack', 'fs']] as const) {
  test(`blocks move from ${from} to ${to}, also when the conversion is killed at any moment`, async (context) => {
    const node = await startNode(context, { engine: from })
    const { repository } = node
    const files = await fill(node, 6)
    const pins = await node.ok(['pin', 'ls', '-q'])
    const refused = await node.run(['repo', 'convert', '--to', to])
    assert.equal(refused.status, 6)
    assert.match(refused.stderr, /^Error: This repository is in use by the daemon with process id \d+\. Stop it with: holdfast stop\n$/)
    await node.end()

    let kills = 0
    for (let afterMs = 250; ; afterMs += 60) {
      const child = spawn(process.execPath, [HOLDFAST, 'repo', 'convert', '--to', to, '--path', repository], { stdio: 'ignore' })
      const exited = once(child, 'exit')
      const timer = setTimeout(() => { child.kill('SIGKILL') }, afterMs)
      const [status, signal] = await exited as [number | null, string | null]
      clearTimeout(timer)
      if (signal === null) {
        assert.equal(status, 0)
        break
      }
      kills++
    }
    context.diagnostic(`${kills} kills before the conversion was through`)
    const left = await readdir(repository)
    for (const name of to === 'pack' ? ['blocks', 'conversion'] : ['packs', 'blocks.mdb', 'blocks.mdb-lock', 'conversion']) assert.ok(!left.includes(name), `${name} is left in ${left.join(', ')}`)

    const converted = await startNode(context, { repository })
    assert.equal(converted.ready.engine, to)
    assert.equal(await converted.ok(['pin', 'ls', '-q']), pins)
    await requireFiles(converted, files)
    assert.match(await converted.ok(['repo', 'verify']), / 0 damaged/)
  })
}

test('a node runs on the old store while a conversion is unfinished, and the conversion takes up what came since, or is given up', async (context) => {
  const node = await startNode(context, { engine: 'fs' })
  const files = await fill(node, 1)
  await node.end()
  await writeFile(join(node.repository, 'conversion'), 'pack\n')

  const between = await startNode(context, { repository: node.repository })
  assert.equal(between.ready.engine, 'fs')
  assert.match(between.log(), /repo convert --to pack/)
  for (const [cid, content] of await fill(between, 1)) files.set(cid, content)
  await between.end()

  assert.equal((await holdfast(['repo', 'convert', '--to', 'fs', '--path', node.repository])).status, 0)
  assert.deepEqual((await readdir(node.repository)).filter((name) => ['packs', 'conversion'].includes(name)), [])
  assert.match((await holdfast(['repo', 'convert', '--to', 'pack', '--path', node.repository])).stdout, /^Moved \d+ blocks/)
  await requireFiles(await startNode(context, { repository: node.repository }), files)
})

test('a conversion leaves no damaged block behind unless told to, and touches nothing that is not its own', async (context) => {
  const node = await startNode(context)
  const content = randomBytes(100_000)
  const cid = await node.ok(['add', '-Q'], { stdin: content })
  const files = await fill(node, 1)
  await node.end()
  const convert = async (...flags: string[]): ReturnType<typeof holdfast> => await holdfast(['repo', 'convert', '--to', 'fs', '--path', node.repository, ...flags])
  await mkdir(join(node.repository, 'blocks'))
  const inTheWay = await convert()
  assert.equal(inTheWay.status, 2)
  assert.match(inTheWay.stderr, /in the way/)
  await rm(join(node.repository, 'blocks'), { recursive: true })

  await rot(node.repository, content)
  const refused = await convert()
  assert.equal(refused.status, 4)
  assert.match(refused.stderr, /1 blocks are damaged.*repo repair --from-peers/)
  assert.ok((await packsOf(node.repository)).length > 0)
  assert.match((await convert('--leave-damaged')).stdout, /left 1 damaged ones behind/)
  const converted = await startNode(context, { repository: node.repository })
  assert.equal((await converted.run(['cat', cid])).status, 3)
  await requireFiles(converted, files)
})

test('an index that is missing, cut short or full of noise is made anew at the start, and by a command', async (context) => {
  let node = await startNode(context)
  const { repository } = node
  const files = await fill(node, 2)
  const index = join(repository, 'blocks.mdb')
  const damages: Record<string, () => Promise<void>> = {
    missing: async () => { await rm(index) },
    short: async () => { await truncate(index, 5000) },
    noise: async () => { await writeFile(index, randomBytes(64 * 1024)) }
  }
  for (const [name, damage] of Object.entries(damages)) {
    await node.end()
    await damage()
    node = await startNode(context, { repository })
    assert.match(node.log(), /Index of the packs was made anew/, name)
    await requireFiles(node, files)
    assert.match(await node.ok(['repo', 'verify']), / 0 damaged/)
  }
  assert.equal((await node.run(['repo', 'rebuild-index'])).status, 6)
  await node.end()
  assert.match((await node.run(['repo', 'rebuild-index'])).stdout, /^Made the index of \d+ blocks in 1 packs\n$/)
  node = await startNode(context, { repository })
  await requireFiles(node, files)
})

test('a second writer gets one line that names the first, and readers read on beside it', async (context) => {
  const node = await startNode(context)
  const content = randomBytes(1000)
  const cid = CID.parse(await node.ok(['add', '-Q'], { stdin: content }))
  const second = await holdfast(['start', '--path', node.repository, '--gateway-port', '0', '--rpc-port', '0', '--network', 'off'])
  assert.equal(second.status, 6)
  assert.equal(second.stderr, `Error: This repository is in use by the daemon with process id ${node.process.pid}. Stop it with: holdfast stop\n`)
  await assert.rejects(openPackBlockstore(node.repository), (err) => isErrorCode(err, 'UNAVAILABLE') && err.message.includes(`process ${node.process.pid}`) && !err.message.includes('\n'))

  await using reader = await openPackReader(node.repository)
  const deadline = Date.now() + 60_000
  // It sees what the writer has committed to the index, which is within about a second.
  while (!await reader.has(cid)) assert.ok(Date.now() < deadline, 'the reader does not see the block')
  assert.ok(Buffer.from((await reader.get(cid))?.bytes ?? []).equals(content))
})

test('with durability os every answer that rests on stored blocks says so, and with disk none does', async (context) => {
  for (const durability of ['disk', 'os'] as const) {
    const node = await startNode(context, { flags: ['--durability', durability] })
    const isWeak = durability === 'os'
    const path = join(await newFolder(context), 'file.car')
    const added = await node.run(['add', '-Q'], { stdin: 'content' })
    const cid = added.stdout.trim()
    await node.ok(['dag', 'export', cid, '-o', path])
    for (const { args, finished } of [{ args: 'add', finished: added }, ...await Promise.all([['pin', 'add', cid], ['dag', 'import', path]].map(async (args) => ({ args, finished: await node.run(args) })))]) {
      assert.equal(finished.status, 0, finished.stderr)
      assert.equal(/durability os/.test(finished.stderr), isWeak, `${args}: ${finished.stderr}`)
    }
    for (const args of [['pin', 'add', cid], ['dag', 'import', path], ['pin', 'update', cid, cid, '--no-unpin']]) assert.deepEqual((await node.json<{ durability?: string }>(args)).map(({ durability }) => durability), [isWeak ? 'os' : undefined], String(args))
    const addedAsJson = await node.run(['add', '--json'], { stdin: 'content' })
    assert.equal((JSON.parse(addedAsJson.stdout) as { durability?: string }).durability, isWeak ? 'os' : undefined)
    for (const args of [['cat', cid], ['pin', 'ls']]) assert.equal((await node.run(args)).stderr, '')
    const headerOf = async (command: string): Promise<string | null> => (await fetch(`${node.ready.rpc}/api/v0/${command}`, { method: 'POST' })).headers.get('x-holdfast-durability')
    assert.equal(await headerOf(`pin/add?arg=${cid}`), isWeak ? 'os' : null)
    assert.equal(await headerOf('pin/ls'), null)
    assert.equal(node.ready.durability, durability)
    assert.equal(/durability os/.test(await node.ok(['repo', 'stat'])), isWeak)
  }
})

test('init writes the durability and the engine that were asked for, and refuses others', async (context) => {
  const path = join(await newFolder(context), 'repository')
  const run = async (...args: string[]): ReturnType<typeof holdfast> => await holdfast(['--path', path, ...args])
  assert.equal((await run('init', '--engine', 'fs', '--durability', 'os')).status, 0)
  assert.equal((await run('config', 'get', 'durability')).stdout, 'os\n')
  assert.equal((await run('init', '--engine', 'pack')).status, 2)
  assert.equal((await run('init', '--engine', 'tape')).status, 2)
  assert.equal((await run('init', '--durability', 'none')).status, 2)
})

test('storageMaxBytes is not passed: an add is refused with what would free space, reads go on, and room comes back without a restart', async (context) => {
  const node = await startNode(context, { flags: ['--storage-max-bytes', '12MiB'] })
  const files = await fill(node, 4)
  const { status, stderr } = await node.run(['add', '-Q'], { stdin: randomBytes(16 * MIB) })
  assert.equal(status, 5, stderr)
  assert.match(stderr, /holdfast gc/)
  assert.match(stderr, /storageMaxBytes/)
  const [stat] = await node.json<{ storage: { liveByteLength: number, deadByteLength: number, indexByteLength: number, maxByteLength: number } }>(['repo', 'stat'])
  assert.ok(stat !== undefined && stat.storage.liveByteLength + stat.storage.deadByteLength + stat.storage.indexByteLength <= stat.storage.maxByteLength, JSON.stringify(stat))
  await requireFiles(node, files)

  // What the refused add left behind is garbage, and so is what has no pin.
  await node.ok(['gc'])
  const content = randomBytes(6 * MIB)
  const cid = await node.ok(['add', '-Q'], { stdin: content })
  await requireFiles(node, new Map([[cid, content]]))
})

test('the limit of the store holds for what is fetched, and the oldest of it makes room', async (context) => {
  const holder = await startNode(context, { flags: ['--network', 'lan'] })
  const node = await startNode(context, { flags: ['--network', 'lan', '--storage-max-bytes', '16MiB'] })
  await node.ok(['connect', holder.ready.swarm.find((address) => address.includes('/ip4/127.0.0.1/')) ?? ''])
  const kept = randomBytes(2 * MIB)
  const cid = await node.ok(['add', '-Q'], { stdin: kept })
  for (let count = 0; count < 10; count++) {
    const content = randomBytes(3 * MIB)
    const fetched = await holder.ok(['add', '-Q'], { stdin: content })
    await requireFiles(node, new Map([[fetched, content]]))
  }
  await requireFiles(node, new Map([[cid, kept]]))
  const [stat] = await node.json<{ storage: { liveByteLength: number, deadByteLength: number, indexByteLength: number, maxByteLength: number } }>(['repo', 'stat'])
  assert.ok(stat !== undefined && stat.storage.liveByteLength + stat.storage.deadByteLength + stat.storage.indexByteLength <= stat.storage.maxByteLength, JSON.stringify(stat))
})

