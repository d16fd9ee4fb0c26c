import { isErrorCode } from '@holdfast/core'
import assert from 'node:assert/strict'
import { mkdtemp, rm, statfs, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { requireIndexRoom } from './index-room.ts'

test('a commit is refused when the disk has less room than its pages may take, and not before', async (context) => {
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-room-'))
  context.after(async () => { await rm(folder, { recursive: true }) })
  const path = join(folder, 'blocks.mdb')
  await writeFile(path, Buffer.alloc(4096))
  await requireIndexRoom(path, 1)
  const { bavail, bsize } = await statfs(folder)
  await assert.rejects(requireIndexRoom(path, bavail * bsize), (err) => isErrorCode(err, 'LIMIT') && err.details['reason'] === 'no-space' && err.message.includes(path))
})
