import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdir, readdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { atEnd, newFolder, startNode } from './harness.ts'

const canMount = process.platform === 'linux' && process.getuid?.() === 0

test('a full disk refuses the write, keeps serving, and needs no restart once there is space', { skip: !canMount && 'a small file system can be mounted by root on Linux only' }, async (context) => {
  const disk = join(await newFolder(context), 'disk')
  await mkdir(disk)
  const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=24m', 'tmpfs', disk])
  if (mounted.status !== 0) return context.skip(`mount is not allowed here: ${String(mounted.stderr)}`)
  atEnd(context, async () => { spawnSync('umount', ['-l', disk]) })

  const node = await startNode(context, { repository: join(disk, 'repository') })
  const kept = await node.ok(['add', '-Q'], { stdin: 'kept' })
  const ballast = join(disk, 'ballast')
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
  const files = await readdir(join(node.repository, 'blocks'), { recursive: true })
  assert.deepEqual(files.filter((name) => name.includes('.tmp')), [])
})
