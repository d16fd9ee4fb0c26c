import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { createFile, replaceFile, sweepScratch } from './durable-file.ts'
import { scratchPathOf } from './scratch-file.ts'

async function newFolder (context: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-'))
  context.after(async () => { await rm(folder, { recursive: true, force: true }) })
  return folder
}

test('a file is replaced as a whole, for its owner only, and nothing is left beside it', async (context) => {
  const folder = await newFolder(context)
  const path = join(folder, 'config.json')
  await replaceFile(path, 'longer than what follows')
  await replaceFile(path, new TextEncoder().encode('short'))
  assert.equal(await readFile(path, 'utf8'), 'short')
  if (process.platform !== 'win32') assert.equal((await stat(path)).mode & 0o777, 0o600)
  assert.deepEqual(await readdir(folder), ['config.json'])
})

test('of many that replace a file at once each leaves a whole one', async (context) => {
  const folder = await newFolder(context)
  const path = join(folder, 'peers.json')
  const contents = Array.from({ length: 20 }, (_, index) => String(index).repeat(10_000 + index))
  await Promise.all(contents.map(async (content) => { await replaceFile(path, content) }))
  assert.ok(contents.includes(await readFile(path, 'utf8')))
  assert.deepEqual(await readdir(folder), ['peers.json'])
})

test('a file that cannot be replaced stays as it was, and nothing is left beside it', async (context) => {
  const folder = await newFolder(context)
  // A folder of that name cannot be replaced by a file.
  const path = join(folder, 'version')
  await mkdir(join(path, 'in the way'), { recursive: true })
  await assert.rejects(replaceFile(path, '2\n'))
  assert.deepEqual(await readdir(folder), ['version'])
})

test('a file is created only where there is none, by one of many', async (context) => {
  const folder = await newFolder(context)
  const path = join(folder, 'identity.key')
  const created = await Promise.all(Array.from({ length: 10 }, async (_, index) => ({ index, isNew: await createFile(path, String(index)) })))
  const winners = created.filter(({ isNew }) => isNew)
  assert.equal(winners.length, 1)
  assert.equal(await readFile(path, 'utf8'), String(winners[0]?.index))
  assert.deepEqual(await readdir(folder), ['identity.key'])
})

test('a file that is there is not looked at, not even for its mode', { skip: process.platform === 'win32' }, async (context) => {
  const path = join(await newFolder(context), 'swarm.key')
  await writeFile(path, 'mine')
  await chmod(path, 0o400)
  assert.equal(await createFile(path, 'yours'), false)
  assert.equal(await readFile(path, 'utf8'), 'mine')
  assert.equal((await stat(path)).mode & 0o777, 0o400)
})

test('what processes left that are gone is swept, and nothing else', async (context) => {
  const folder = await newFolder(context)
  const child = spawn(process.execPath, ['-e', ''])
  await once(child, 'exit')
  const token = randomUUID()
  const gone = [`identity.key.${child.pid}--${token}.tmp`, `peers.json.${child.pid}-12-${token}.tmp`, `daemon.lock.${child.pid}-12-${token}.stale`]
  const mine = await scratchPathOf('config.json')
  const others = ['config.json', mine, `${child.pid}--${token}.tmp`, `notes.${child.pid}-12.tmp`, `peers.json.${child.pid}-12-${token}.bak`]
  for (const name of [...gone, ...others]) await writeFile(join(folder, name), 'half a ke')
  await sweepScratch(folder, 'identity.key')
  assert.deepEqual((await readdir(folder)).sort(), [...gone.slice(1), ...others].sort())
  await sweepScratch(folder)
  assert.deepEqual((await readdir(folder)).sort(), others.sort())
})

test('what a process left that was killed while it wrote is swept', { skip: process.platform === 'win32' }, async (context) => {
  const folder = await newFolder(context)
  const program = `
    const { replaceFile } = await import(${JSON.stringify(new URL('durable-file.ts', import.meta.url).href)})
    console.log('begun')
    for (;;) await Promise.all(Array.from({ length: 8 }, () => replaceFile(${JSON.stringify(join(folder, 'peers.json'))}, 'x'.repeat(1000000))))`
  const child = spawn(process.execPath, ['--input-type=module', '-e', program], { stdio: ['ignore', 'pipe', 'inherit'] })
  const exited = once(child, 'exit')
  await once(child.stdout, 'data')
  const isBusy = async (): Promise<boolean> => (await readdir(folder)).some((name) => name.endsWith('.tmp'))
  for (const deadline = Date.now() + 30_000; !await isBusy(); assert.ok(Date.now() < deadline)) { /* it begins */ }
  child.kill('SIGKILL')
  await exited
  await sweepScratch(folder)
  assert.deepEqual((await readdir(folder)).filter((name) => name !== 'peers.json'), [])
})
