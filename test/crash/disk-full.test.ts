import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdir, readdir, rm, statfs, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { atEnd, holdfast, newFolder, startNode } from '../harness.ts'

const MIB = 1024 * 1024

const canMount = process.platform === 'linux' && process.getuid?.() === 0

const skip = !canMount && 'a small file system can be mounted by root on Linux only'

/** Mounts a file system in memory of so many MiB; skips the test where that is not allowed. */
async function mountDisk (context: TestContext, mebibytes: number): Promise<string | undefined> {
  const disk = join(await newFolder(context), 'disk')
  await mkdir(disk)
  const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${mebibytes}m`, 'tmpfs', disk])
  if (mounted.status !== 0) {
    context.skip(`mount is not allowed here: ${String(mounted.stderr)}`)
    return undefined
  }
  atEnd(context, async () => { spawnSync('umount', ['-l', disk]) })
  return disk
}

/** What somebody else has on the disk. */
const BALLAST = 'ballast'

/** Leaves about so many bytes free. A daemon may write meanwhile. */
async function fill (disk: string, freeBytes: number): Promise<void> {
  const { bavail, bsize } = await statfs(disk)
  await writeFile(join(disk, BALLAST), Buffer.alloc(Math.max(0, bavail * bsize - freeBytes))).catch((err: unknown) => {
    if (!(err instanceof Error && 'code' in err && err.code === 'ENOSPC')) throw err
  })
}

for (const engine of ['pack', 'fs'] as const) test(`a full disk refuses the write, keeps serving, and needs no restart once there is space: ${engine}`, { skip }, async (context) => {
  const disk = await mountDisk(context, 24)
  if (disk === undefined) return

  const node = await startNode(context, { repository: join(disk, 'repository'), engine })
  const kept = await node.ok(['add', '-Q'], { stdin: 'kept' })
  const ballast = join(disk, BALLAST)
  await writeFile(ballast, randomBytes(8 * 1024 * 1024))

  const { status, stderr } = await node.run(['add', '-Q'], { stdin: randomBytes(32 * 1024 * 1024) })
  assert.equal(status, 5, stderr)
  assert.match(stderr, /disk is full/i)
  assert.equal(await node.ok(['cat', kept]), 'kept')
  assert.equal(await (await fetch(`${node.ready.gateway}/ipfs/${kept}`)).text(), 'kept')
  assert.equal(await node.ok(['pin', 'ls', '-q']), kept)

  await rm(ballast)
  await node.ok(['gc'])
  const again = await node.ok(['add', '-Q'], { stdin: randomBytes(4 * 1024 * 1024) })
  assert.match(await node.ok(['repo', 'verify']), / 0 damaged/)
  await node.end()

  const restarted = await startNode(context, { repository: node.repository })
  assert.ok((await restarted.ok(['pin', 'ls', '-q'])).includes(again))
  const files = await readdir(node.repository, { recursive: true })
  assert.deepEqual(files.filter((name) => name.includes('.tmp')), [])
})

test('a disk that others fill up under the indexes ends nothing: writes and collections are refused until there is space', { skip, timeout: 120_000 }, async (context) => {
  const disk = await mountDisk(context, 24)
  if (disk === undefined) return
  const repository = join(disk, 'repository')
  for (const command of [['init'], ['config', 'set', 'storageReserveBytes', '0']]) assert.equal((await holdfast(['--path', repository, ...command])).status, 0)
  const node = await startNode(context, { repository })
  const kept = await node.ok(['add', '-Q'], { stdin: 'kept' })
  let refusedCount = 0
  for (const freeKib of [1024, 640, 320, 160, 80, 0]) {
    await fill(disk, freeKib * 1024)
    // Small blocks: their entries in the indexes are more than they are.
    for (const command of [['add', '-Q', '--chunker', 'size-64'], ['add', '-Q', '--chunker', 'size-64', '--no-pin'], ['gc'], ['pin', 'add', kept, '--name', String(freeKib)]]) {
      const { status, stderr } = await node.run(command, { stdin: command[0] === 'add' ? randomBytes(128 * 1024) : undefined })
      if (status === 0) continue
      refusedCount++
      assert.equal(status, 5, `${freeKib} KiB, ${command}: ${stderr}`)
      assert.match(stderr, /disk is full/i)
    }
    assert.equal(await node.ok(['cat', kept]), 'kept')
    await rm(join(disk, BALLAST))
  }
  assert.ok(refusedCount > 5, `${refusedCount} commands were refused`)
  assert.equal(node.process.exitCode, null, node.log())

  await node.ok(['gc'])
  const added = await node.ok(['add', '-Q', '--chunker', 'size-64'], { stdin: randomBytes(128 * 1024) })
  await node.ok(['gc'])
  await node.ok(['stat', added])
  assert.match(await node.ok(['repo', 'verify']), / 0 damaged/)
  assert.equal(await node.end(), 0, node.log())
})

for (const engine of ['pack', 'fs'] as const) test(`the gateway passes on what a full disk has no room for, and a pin of it is refused: ${engine}`, { skip }, async (context) => {
  const disk = await mountDisk(context, 24)
  if (disk === undefined) return
  const holder = await startNode(context, { flags: ['--network', 'lan'] })
  const node = await startNode(context, { repository: join(disk, 'repository'), engine, flags: ['--network', 'lan'] })
  await node.ok(['connect', holder.ready.swarm.find((address) => address.includes('/ip4/127.0.0.1/')) ?? ''])
  const content = randomBytes(12 * MIB)
  const cid = await holder.ok(['add', '-Q'], { stdin: content })
  await fill(disk, 0)

  const response = await fetch(`${node.ready.gateway}/ipfs/${cid}`)
  assert.equal(response.status, 200)
  assert.ok(Buffer.from(await response.arrayBuffer()).equals(content))
  const { status, stderr } = await node.run(['pin', 'add', cid])
  assert.equal(status, 5, stderr)
  assert.equal(await node.ok(['pin', 'ls', '-q']), '')
})

for (const engine of ['pack', 'fs'] as const) test(`on a disk that is full of what was only fetched, an add takes the place of the oldest of it: ${engine}`, { skip, timeout: 120_000 }, async (context) => {
  const disk = await mountDisk(context, 48)
  if (disk === undefined) return

  const holder = await startNode(context, { flags: ['--network', 'lan'] })
  const node = await startNode(context, { repository: join(disk, 'repository'), engine, flags: ['--network', 'lan'] })
  await node.ok(['connect', holder.ready.swarm.find((address) => address.includes('/ip4/127.0.0.1/')) ?? ''])
  const pinned = await holder.ok(['add', '-Q'], { stdin: randomBytes(4 * MIB) })
  await node.ok(['pin', 'add', pinned])
  const fetched = []
  for (let count = 0; count < 9; count++) {
    const cid = await holder.ok(['add', '-Q'], { stdin: randomBytes(4 * MIB) })
    await (await fetch(`${node.ready.gateway}/ipfs/${cid}?format=car`)).arrayBuffer()
    fetched.push(cid)
  }
  await holder.end()

  const content = randomBytes(20 * MIB)
  const added = await node.ok(['add', '-Q'], { stdin: content })
  const response = await fetch(`${node.ready.gateway}/ipfs/${added}`)
  assert.ok(Buffer.from(await response.arrayBuffer()).equals(content))
  await node.ok(['stat', pinned])
  assert.match(await node.ok(['repo', 'verify']), / 0 damaged/)

  const isHere = async (cid: string): Promise<boolean> => (await fetch(`${node.ready.gateway}/ipfs/${cid}`, { method: 'HEAD', headers: { 'cache-control': 'only-if-cached' } })).status === 200
  assert.deepEqual([await isHere(fetched[0] ?? ''), await isHere(fetched.at(-1) ?? '')], [false, true])
  // Only what is needed, twice, went: the rest is there until the next write needs its place.
  const { status, stderr } = await node.run(['add', '-Q'], { stdin: randomBytes(40 * MIB) })
  assert.equal(status, 5, stderr)
  assert.match(stderr, /disk is full/i)
  assert.deepEqual((await node.ok(['pin', 'ls', '-q'])).split('\n').toSorted(), [pinned, added].toSorted())
})
