import { Block, isErrorCode } from '@holdfast/core'
import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { after, test } from 'node:test'
import { openPackBlockstore } from './open-pack-blockstore.ts'
import { openPackReader } from './pack-reader.ts'

const folders: string[] = []
after(async () => { for (const folder of folders) await rm(folder, { recursive: true, force: true }) })

async function newFolder (): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-pack-'))
  folders.push(folder)
  return folder
}

/** Longest wait for something that another process does: only a bound, nothing is measured. */
const DEADLINE_MS = 60_000

async function until (what: string, holds: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + DEADLINE_MS
  while (!await holds()) {
    assert.ok(performance.now() < deadline, what)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

async function blockOf (index: number): Promise<Block> {
  return await Block.of(Buffer.from(`block ${index} `.repeat(50)))
}

/** A process that opens the store in `folder` and runs `body`, in which `store`, `blockOf` and `say` are known. */
function start (folder: string, body: string): { child: ChildProcess, lines: AsyncIterator<string> } {
  const source = `
    import { Block } from '@holdfast/core'
    import { openPackBlockstore } from ${JSON.stringify(new URL('./open-pack-blockstore.ts', import.meta.url).href)}
    import { openPackReader } from ${JSON.stringify(new URL('./pack-reader.ts', import.meta.url).href)}
    const say = (line) => { process.stdout.write(line + '\\n') }
    const blockOf = async (index) => await Block.of(Buffer.from(('block ' + index + ' ').repeat(50)))
    const folder = ${JSON.stringify(folder)}
    ${body}`
  const child = spawn(process.execPath, ['--input-type=module', '--eval', source], { cwd: import.meta.dirname, stdio: ['pipe', 'pipe', 'inherit'] })
  return { child, lines: createInterface({ input: child.stdout })[Symbol.asyncIterator]() }
}

test('a second process that wants to write gets one line that names the first', async () => {
  const folder = await newFolder()
  const { child, lines } = start(folder, `
    const store = await openPackBlockstore(folder)
    say('open')
    process.stdin.resume()
    process.stdin.on('end', async () => { await store[Symbol.asyncDispose](); process.exit() })`)
  assert.equal((await lines.next()).value, 'open')
  await assert.rejects(openPackBlockstore(folder), (err) => isErrorCode(err, 'UNAVAILABLE') && err.message === `Blockstore ${folder} is written to by process ${child.pid}. Stop that first`)
  child.stdin?.end()
  await once(child, 'exit')
  await using store = await openPackBlockstore(folder)
  await store.put(await blockOf(1))
})

test('what was acknowledged is there after the process was killed, and the next one may write', async () => {
  const folder = await newFolder()
  const { child, lines } = start(folder, `
    const store = await openPackBlockstore(folder, { packBytes: 20_000 })
    for (let index = 0; ; index++) {
      await store.put(await blockOf(index))
      say(String(index))
      if (index % 3 === 0) await store.delete((await blockOf(index)).cid)
    }`)
  let acknowledged = -1
  while (acknowledged < 100) acknowledged = Number((await lines.next()).value)
  child.kill('SIGKILL')
  for (let next = await lines.next(); next.done !== true; next = await lines.next()) acknowledged = Number(next.value)

  await using store = await openPackBlockstore(folder, { packBytes: 20_000 })
  for (let index = 0; index <= acknowledged; index++) {
    if (index % 3 !== 0) assert.ok(await store.get((await blockOf(index)).cid) !== undefined, `block ${index} of ${acknowledged}`)
  }
  assert.deepEqual((await store.verify()).damaged, [])
})

test('readers in other processes see what is written, deleted and compacted', { timeout: 2 * DEADLINE_MS }, async () => {
  const folder = await newFolder()
  await using store = await openPackBlockstore(folder, { packBytes: 10_000, compaction: false, reserveBytes: 0 })
  for (let index = 0; index < 50; index++) await store.put(await blockOf(index))
  await store.flush()
  const { child, lines } = start(folder, `
    const reader = await openPackReader(folder)
    for (let index = 0; index < 50; index++) if (await reader.get((await blockOf(index)).cid) === undefined) throw new Error('missing ' + index)
    say('read')
    const late = (await blockOf(1000)).cid
    while (!await reader.has(late)) await new Promise((resolve) => setTimeout(resolve, 5))
    for (let index = 0; index < 50; index++) {
      const found = await reader.get((await blockOf(index)).cid)
      if ((found !== undefined) !== (index % 5 === 0)) throw new Error('wrong ' + index)
    }
    say('followed ' + (await Array.fromAsync(reader.list())).length)
    await reader[Symbol.asyncDispose]()`)
  assert.equal((await lines.next()).value, 'read')
  for (let index = 0; index < 50; index++) if (index % 5 !== 0) await store.delete((await blockOf(index)).cid)
  assert.ok(await store.compact() > 0)
  await store.put(await blockOf(1000))
  assert.equal((await lines.next()).value, 'followed 11')
  if (child.exitCode === null) await once(child, 'exit')
})

test('a reader in the same process follows, also over an index that was made anew', { timeout: 2 * DEADLINE_MS }, async () => {
  const folder = await newFolder()
  await assert.rejects(openPackReader(folder), (err) => isErrorCode(err, 'NOT_FOUND'))
  const [first, second] = await Promise.all([blockOf(1), blockOf(2)])
  {
    await using store = await openPackBlockstore(folder, { reserveBytes: 0 })
    await store.put(first)
  }
  await using reader = await openPackReader(folder)
  assert.deepEqual((await reader.get(first.cid))?.bytes, first.bytes)
  await using store = await openPackBlockstore(folder, { reserveBytes: 0, rebuildIndex: true })
  await store.put(second)
  await until('the reader sees the second block', async () => await reader.has(second.cid))
  assert.equal(await reader.byteLengthOf(first.cid), first.bytes.byteLength)
})
