import { isErrorCode } from '@holdfast/core'
import assert from 'node:assert/strict'
import { mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import { SHORT_FILE_BYTES } from './short-file-thread.ts'
import { ShortFiles } from './short-files.ts'

/** On one core no thread is started. */
const options = { skip: availableParallelism() === 1 }

test('nothing is started for a few files', async (context) => {
  const folder = await newFolder(context)
  await writeFile(join(folder, 'a'), 'a')
  using files = new ShortFiles()
  for (let count = 0; count < 100; count++) assert.equal(await files.read(Buffer.from(join(folder, 'a'))), undefined)
  assert.ok(!files.hasThread)
})

test('files of every length come whole and apart, and long ones are left to be streamed', options, async (context) => {
  const folder = await newFolder(context)
  const lengths = [0, 1, 4096, SHORT_FILE_BYTES - 1, SHORT_FILE_BYTES, SHORT_FILE_BYTES + 1, 3, 0]
  const paths = await Promise.all(lengths.map(async (byteLength, index) => {
    const path = join(folder, `ü ${index}`)
    await writeFile(path, Buffer.alloc(byteLength, index + 1))
    return Buffer.from(path)
  }))
  using files = await started(join(folder, 'ü 1'))
  for (let round = 0; round < 50; round++) {
    const contents = await Promise.all(paths.map(async (path) => await files.read(path)))
    const expected = lengths.map((byteLength, index) => byteLength > SHORT_FILE_BYTES ? undefined : Buffer.alloc(byteLength, index + 1))
    // A pause after slow reads, on a busy machine, streams what was asked for before its end.
    if (contents[0] !== undefined) assert.deepEqual(contents.map((content) => content && Buffer.from(content)), expected)
  }
})

test('each path that cannot be read fails for itself, with its name', options, async (context) => {
  const folder = await newFolder(context)
  await writeFile(join(folder, 'a'), 'a')
  await symlink(join(folder, 'a'), join(folder, 'link'))
  using files = await started(join(folder, 'a'))
  const outcomes = await untilRead(() => Promise.allSettled(['a', 'absent', 'link', '.', 'a'].map(async (name) => await files.read(Buffer.from(join(folder, name))))))
  assert.deepEqual(outcomes.map((outcome) => outcome.status), ['fulfilled', 'rejected', 'rejected', 'rejected', 'fulfilled'])
  const [, absent, link, directory] = outcomes.map((outcome) => outcome.status === 'rejected' ? outcome.reason : undefined)
  assert.ok(isErrorCode(absent, 'NOT_FOUND') && absent.message.includes(join(folder, 'absent')))
  assert.ok(isErrorCode(link, 'UNAVAILABLE') && link.message.includes(join(folder, 'link')))
  assert.ok(isErrorCode(directory, 'UNAVAILABLE'))
})

test('whoever waits when it ends is left to stream', options, async (context) => {
  const folder = await newFolder(context)
  await writeFile(join(folder, 'a'), 'a')
  const files = await started(join(folder, 'a'))
  const waiting = Array.from({ length: 1000 }, async () => await files.read(Buffer.from(join(folder, 'a'))))
  files[Symbol.dispose]()
  assert.ok((await Promise.all(waiting)).every((content) => content === undefined))
  assert.equal(await files.read(Buffer.from(join(folder, 'a'))), undefined)
})

/** Reads a file again and again until a thread does it. */
async function started (path: string): Promise<ShortFiles> {
  const files = new ShortFiles()
  await untilRead(async () => [await files.read(Buffer.from(path))])
  return files
}

/** Repeats until what is asked for first was read by the thread: a busy machine makes it pause. */
async function untilRead<T> (read: () => Promise<T[]>): Promise<T[]> {
  const signal = AbortSignal.timeout(60_000)
  for (;;) {
    signal.throwIfAborted()
    const outcomes = await read()
    // The first alone tells: a pause may end between it and the next.
    const [first] = outcomes
    if (first instanceof Uint8Array || (typeof first === 'object' && first !== null && 'value' in first && first.value !== undefined)) return outcomes
    await setImmediate()
  }
}

async function newFolder (context: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-short-'))
  context.after(async () => { await rm(folder, { recursive: true, force: true }) })
  return folder
}
