import { isErrorCode } from '@holdfast/core'
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { hostname, tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { lockRepository } from './lock.ts'

async function newLock (context: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-'))
  context.after(async () => { await rm(folder, { recursive: true, force: true }) })
  return join(folder, 'daemon.lock')
}

test('a second lock is refused and names the holder; after release it is free', async (context) => {
  const path = await newLock(context)
  {
    await using _first = await lockRepository(path)
    await assert.rejects(lockRepository(path), (err) => isErrorCode(err, 'UNAVAILABLE') && err.message.includes(String(process.pid)))
  }
  await using _second = await lockRepository(path)
})

test('of many that try at once exactly one gets the lock', async (context) => {
  const path = await newLock(context)
  const results = await Promise.allSettled(Array.from({ length: 20 }, () => lockRepository(path)))
  const won = results.filter((result) => result.status === 'fulfilled')
  assert.equal(won.length, 1)
  await won[0]?.value[Symbol.asyncDispose]()
})

test('the lock of a process that died is taken over, by one of many', async (context) => {
  const path = await newLock(context)
  const child = spawn(process.execPath, ['-e', ''])
  await once(child, 'exit')
  await writeFile(path, JSON.stringify({ pid: child.pid, host: hostname(), started: '', token: 'old' }))
  const results = await Promise.allSettled(Array.from({ length: 10 }, () => lockRepository(path)))
  const won = results.filter((result) => result.status === 'fulfilled')
  assert.equal(won.length, 1)
  await won[0]?.value[Symbol.asyncDispose]()
  assert.deepEqual((await readdir(join(path, '..'))), [])
})

test('a number that now belongs to another process does not keep the lock', { skip: process.platform !== 'linux' && 'start times are read on Linux only' }, async (context) => {
  const path = await newLock(context)
  await writeFile(path, JSON.stringify({ pid: process.pid, host: hostname(), started: '1', token: 'old' }))
  await using _lock = await lockRepository(path)
})

test('the lock of another machine is never taken over', async (context) => {
  const path = await newLock(context)
  await writeFile(path, JSON.stringify({ pid: 1, host: 'elsewhere', started: '', token: 'theirs' }))
  await assert.rejects(lockRepository(path), (err) => isErrorCode(err, 'UNAVAILABLE') && err.message.includes('elsewhere'))
  assert.ok((await readFile(path, 'utf8')).includes('theirs'))
})

test('a lock file that was cut short is taken over', async (context) => {
  const path = await newLock(context)
  await writeFile(path, '{"pid":')
  await using _lock = await lockRepository(path)
})

test('what a process left that was killed while it took the lock is swept, and nothing of one that lives', async (context) => {
  const path = await newLock(context)
  const child = spawn(process.execPath, ['-e', ''])
  await once(child, 'exit')
  const token = randomUUID()
  const [living, others] = [`daemon.lock.${process.pid}--${token}.tmp`, 'blocks.lock.1--x.tmp']
  for (const name of [`daemon.lock.${child.pid}--${token}.tmp`, `daemon.lock.${child.pid}-77-${token}.stale`, living, others]) await writeFile(join(path, '..', name), '{"pid":')
  await using _lock = await lockRepository(path)
  assert.deepEqual((await readdir(join(path, '..'))).sort(), [others, 'daemon.lock', living])
})
