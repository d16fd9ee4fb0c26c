import { silentLogger } from '@holdfast/core'
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { diskWith, type JournalFs } from '../journal/journal-fs.ts'
import { CACHE_LOG_MAGIC } from './log-format.ts'
import { openBook, type OpenedBook } from './open-book.ts'

const scratch = await mkdtemp(join(tmpdir(), 'holdfast-book-'))
after(async () => { await rm(scratch, { recursive: true }) })

let count = 0
const newPath = (): string => join(scratch, String(count++))

/** A multihash of sha2-256 whose digest begins with this text. */
function keyOf (text: string): string {
  return `\x12\x20${text.padEnd(32, '.')}`
}

async function openAt (path: string, fs: Partial<JournalFs> = {}): Promise<OpenedBook> {
  return await openBook(path, { fs: diskWith(fs), log: silentLogger })
}

function fetchInto ({ book }: OpenedBook, ...texts: readonly string[]): void {
  const claim = book.claim(texts.map(keyOf))
  for (const text of texts) claim.commit(keyOf(text), text.length)
}

function heldIn ({ book }: OpenedBook): string[] {
  return [...book.entries()].map(([key]) => key.slice(2).replace(/\.+$/, ''))
}

/** Writes a book in order and returns the bytes of its file. */
async function bytesOfBook (path: string, ...texts: readonly string[]): Promise<Buffer> {
  {
    await using opened = await openAt(path)
    fetchInto(opened, ...texts)
  }
  return await readFile(path)
}

/** The book as a node finds it that did not end: everything that was asked for is written. */
async function crashedBook (path: string, texts: readonly string[], forgotten: readonly string[]): Promise<Buffer> {
  await using opened = await openAt(path)
  fetchInto(opened, ...texts)
  for (const text of forgotten) opened.book.forget(keyOf(text))
  await opened.forgottenDurably()
  return await readFile(path)
}

test('a node that fetches nothing has no file', async () => {
  const path = newPath()
  {
    await using opened = await openAt(path)
    opened.book.own([keyOf('a')])[Symbol.dispose]()
    await opened.forgottenDurably()
  }
  assert.ok(!existsSync(path))
})

test('an orderly end is told from a crash, also after the file was opened and nothing was written', async () => {
  const path = newPath()
  await bytesOfBook(path, 'a', 'bb')
  const opened = await openAt(path)
  assert.equal(opened.isDoubtful, false)
  assert.deepEqual(heldIn(opened), ['a', 'bb'])
  assert.equal(opened.book.byteLength, 3)
  const bytes = await readFile(path)
  await opened[Symbol.asyncDispose]()

  const crashed = newPath()
  await writeFile(crashed, bytes)
  const again = await openAt(crashed)
  assert.equal(again.isDoubtful, true)
  assert.deepEqual(heldIn(again), ['a', 'bb'])
  await again[Symbol.asyncDispose]()

  // Nobody looked at the pins meanwhile: an orderly end alone makes it no better.
  await using third = await openAt(crashed)
  assert.equal(third.isDoubtful, true)
  third.isDoubtful = false
  await third[Symbol.asyncDispose]()
  await using trusted = await openAt(crashed)
  assert.equal(trusted.isDoubtful, false)
})

test('what was forgotten durably stays forgotten after a crash', async () => {
  const bytes = await crashedBook(newPath(), ['a', 'b', 'c'], ['b'])
  const crashed = newPath()
  await writeFile(crashed, bytes)
  await using opened = await openAt(crashed)
  assert.deepEqual(heldIn(opened), ['a', 'c'])
})

test('a write that a crash cut short, or that left zeros, ends the book there and makes it doubtful', async () => {
  const bytes = await bytesOfBook(newPath(), 'a', 'b')
  for (const tail of [[1], [40, 0, 0, 0, 1, 2, 3, 4, 1], Array.from({ length: 4096 }, () => 0), Array.from({ length: 3 * 1024 * 1024 }, () => 0)]) {
    const path = newPath()
    await writeFile(path, Buffer.concat([bytes, Buffer.from(tail)]))
    await using opened = await openAt(path)
    assert.deepEqual(heldIn(opened), ['a', 'b'])
    assert.equal(opened.isDoubtful, true, `${tail.length} bytes after the end`)
  }
})

test('a file that is damaged, foreign or full of nonsense counts for nothing', async () => {
  const bytes = await bytesOfBook(newPath(), 'a', 'b')
  const flipped = Buffer.from(bytes)
  flipped[30] = (flipped[30] ?? 0) ^ 1
  const rows: readonly Buffer[] = [flipped, Buffer.from('something else'), Buffer.concat([CACHE_LOG_MAGIC, Buffer.alloc(100, 0xff)]), Buffer.concat([bytes, Buffer.alloc(100, 0xff)]), Buffer.concat([bytes, Buffer.alloc(2 * 1024 * 1024), Buffer.from('x')])]
  for (const [index, row] of rows.entries()) {
    const path = newPath()
    await writeFile(path, row)
    await using opened = await openAt(path)
    assert.deepEqual(heldIn(opened), [], `row ${index}`)
    fetchInto(opened, 'z')
  }
})

test('a key that no block can have makes the file count for nothing', async () => {
  const path = newPath()
  {
    await using opened = await openAt(path)
    const claim = opened.book.claim(['nonsense'])
    claim.commit('nonsense', 1)
  }
  await using opened = await openAt(path)
  assert.equal(opened.book.blockCount, 0)
})

/** A disk whose writes fail from a moment on. */
function failingDisk (): { fs: Partial<JournalFs>, fail: (what: 'write' | 'sync' | 'unlink', isFailing?: boolean) => void } {
  const failing = new Set<string>()
  const error = (): Error => Object.assign(new Error('EIO: i/o error'), { code: 'EIO', syscall: 'write' })
  const real = diskWith({})
  return {
    fail: (what, isFailing = true) => { failing[isFailing ? 'add' : 'delete'](what) },
    fs: {
      async open (path, flags, mode) {
        const file = await open(path, flags, mode)
        return new Proxy(file, {
          get (_, property) {
            if (property === 'write' && failing.has('write')) return async () => { throw error() }
            if (property === 'datasync' && failing.has('sync')) return async () => { throw error() }
            const value: unknown = Reflect.get(file, property, file)
            return typeof value === 'function' ? value.bind(file) : value
          }
        })
      },
      async unlink (path) {
        if (failing.has('unlink')) throw error()
        await real.unlink(path)
      }
    }
  }
}

for (const what of ['write', 'sync'] as const) {
  test(`when a ${what} fails, the file goes rather than saying too much, and the book goes on`, async () => {
    const path = newPath()
    const { fs, fail } = failingDisk()
    await using opened = await openAt(path, fs)
    fetchInto(opened, 'a', 'b')
    opened.book.forget(keyOf('a'))
    await opened.forgottenDurably()
    assert.ok(existsSync(path))
    fail(what)
    opened.book.forget(keyOf('b'))
    await opened.forgottenDurably()
    assert.ok(!existsSync(path))
    fail(what, false)
    fetchInto(opened, 'c')
    await opened[Symbol.asyncDispose]()
    await using again = await openAt(path)
    assert.deepEqual(heldIn(again), ['c'])
  })
}

test('when the file can neither be written nor removed, whoever relies on it is told, until it can', async () => {
  const path = newPath()
  const { fs, fail } = failingDisk()
  await using opened = await openAt(path, fs)
  fetchInto(opened, 'a', 'b')
  opened.book.forget(keyOf('a'))
  await opened.forgottenDurably()
  fail('write')
  fail('unlink')
  opened.book.forget(keyOf('b'))
  await assert.rejects(opened.forgottenDurably(), /out of date/)
  await assert.rejects(opened.forgottenDurably(), /out of date/)
  fail('unlink', false)
  await opened.forgottenDurably()
  assert.ok(!existsSync(path))
})

test('the file is written anew when most of it has no effect', async () => {
  const path = newPath()
  const opened = await openAt(path)
  for (let round = 0; round < 40; round++) {
    const texts = Array.from({ length: 1000 }, (_, index) => `${round}-${index}`)
    fetchInto(opened, ...texts)
    for (const text of texts) opened.book.forget(keyOf(text))
    await opened.forgottenDurably()
  }
  assert.ok((await readFile(path)).byteLength < 2 * 1024 * 1024)
  await opened[Symbol.asyncDispose]()
  await using again = await openAt(path)
  assert.equal(again.book.blockCount, 0)
})
