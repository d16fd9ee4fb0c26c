import assert from 'node:assert/strict'
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { parseIgnoreRules } from './ignore-rules.ts'
import { measurePath } from './measure-path.ts'

test('files are counted, symlinks and hidden entries are not, and what is absent is nothing', async (context) => {
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-'))
  context.after(async () => { await rm(folder, { recursive: true, force: true }) })
  await mkdir(join(folder, 'sub', '.hidden'), { recursive: true })
  await writeFile(join(folder, 'a'), '12345')
  await writeFile(join(folder, 'sub', 'b'), '123')
  await writeFile(join(folder, 'sub', '.hidden', 'c'), '1')
  await symlink('a', join(folder, 'link'))
  assert.equal(await measurePath(folder), 8)
  assert.equal(await measurePath(folder, { hidden: true }), 9)
  assert.equal(await measurePath(join(folder, 'a')), 5)
  assert.equal(await measurePath(join(folder, 'absent')), 0)
  const reason = new Error('enough')
  await assert.rejects(measurePath(folder, { signal: AbortSignal.abort(reason) }), (err) => err === reason)
})

test('what rules leave out is not measured', async (context) => {
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-'))
  context.after(async () => { await rm(folder, { recursive: true, force: true }) })
  await mkdir(join(folder, 'sub'))
  await writeFile(join(folder, 'kept'), 'kept')
  await writeFile(join(folder, 'sub', 'left.out'), 'left out')
  assert.equal(await measurePath(folder, { ignore: parseIgnoreRules(['sub/*.out']) }), 4)
  assert.equal(await measurePath(folder), 12)
})
