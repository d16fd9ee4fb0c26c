import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdir, mkdtemp, readdir, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { pathToFileURL } from 'node:url'

const MODULE = join(import.meta.dirname, '../bin/stripped-sources.cjs')

async function checkout (t: TestContext, source: string): Promise<{ folder: string, path: string }> {
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-stripped-'))
  t.after(async () => { await rm(folder, { recursive: true, force: true }) })
  await mkdir(join(folder, 'packages/one/src'), { recursive: true })
  await writeFile(join(folder, 'package.json'), '{"type":"module"}')
  const path = join(folder, 'packages/one/src/index.ts')
  await writeFile(path, source)
  return { folder, path }
}

/** In processes of their own, as the launcher does. */
function run (code: string, flags: readonly string[] = []): string {
  const { stdout, stderr, status } = spawnSync(process.execPath, [...flags, '-e', `const stripped = require(${JSON.stringify(MODULE)}); ${code}`], { encoding: 'utf8' })
  assert.equal(status, 0, stderr)
  assert.equal(stderr, '')
  return stdout.trim()
}

/** Node's own stripping is off, so what runs is what was stripped before. */
function runStripped (folder: string, path: string): string {
  return run(`stripped.loadStripped(${JSON.stringify(folder)}); import(${JSON.stringify(pathToFileURL(path).href)}).then(({ answer }) => console.log(answer))`, ['--no-experimental-strip-types'])
}

test('a source that was stripped runs without a compiler', async (t) => {
  const { folder, path } = await checkout(t, 'export const answer: string = "forty-two"')
  run(`stripped.stripSources(${JSON.stringify(folder)})`)
  assert.equal(runStripped(folder, path), 'forty-two')
})

test('an edit takes the place of what was stripped before', async (t) => {
  const { folder, path } = await checkout(t, 'export const answer: number = 1')
  run(`stripped.stripSources(${JSON.stringify(folder)})`)
  await writeFile(path, 'export const answer: number = 2')
  run(`stripped.stripSources(${JSON.stringify(folder)})`)
  assert.equal(runStripped(folder, path), '2')
  assert.equal((await readdir(join(folder, 'node_modules/.holdfast-stripped'))).length, 1)
})

for (const length of [0, 10]) {
  test(`what a power cut left of a stripped source, ${length} bytes, is not run, and made again`, async (t) => {
    const { folder, path } = await checkout(t, 'export const answer: number = 4')
    const strip = `stripped.stripSources(${JSON.stringify(folder)})`
    run(strip)
    const stripped = join(folder, 'node_modules/.holdfast-stripped')
    for (const name of await readdir(stripped)) await truncate(join(stripped, name), length)
    const load = `stripped.loadStripped(${JSON.stringify(folder)}); import(${JSON.stringify(pathToFileURL(path).href)}).then(({ answer }) => console.log(answer))`
    assert.equal(run(load), '4')
    run(strip)
    assert.equal(runStripped(folder, path), '4')
  })
}

test('a source that was not stripped is left to Node', async (t) => {
  const { folder, path } = await checkout(t, 'export const answer: number = 3')
  const printed = run(`stripped.loadStripped(${JSON.stringify(folder)}); import(${JSON.stringify(pathToFileURL(path).href)}).then(({ answer }) => console.log(answer))`)
  assert.equal(printed, '3')
})
