import { isErrorCode } from '@holdfast/core'
import { fixturePath } from '@holdfast/testkit'
import assert from 'node:assert/strict'
import { cp, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { DEFAULT_ENGINE, initRepository, migrateRepository, readConfigFile, readEngine, readVersion, REPOSITORY_VERSION, writeConfigFile } from './repository.ts'
import { MAX_SOCKET_PATH_BYTES, repositoryPath, socketPathOf } from './repository-path.ts'

async function newFolder (context: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-'))
  context.after(async () => { await rm(folder, { recursive: true, force: true }) })
  return folder
}

test('a repository is made once, private to its user, and its defaults are not written out', async (context) => {
  const folder = join(await newFolder(context), 'deep', 'repository')
  assert.equal(await initRepository(folder), true)
  assert.equal(await initRepository(folder), false)
  assert.deepEqual((await readdir(folder)).toSorted(), ['config.json', 'engine', 'version'])
  assert.equal(await readEngine(folder), DEFAULT_ENGINE)
  assert.equal(await readFile(join(folder, 'config.json'), 'utf8'), '{}\n')
  assert.equal(await readVersion(folder), REPOSITORY_VERSION)
  if (process.platform !== 'win32') assert.equal((await stat(folder)).mode & 0o777, 0o700)
})

test('a creation that was interrupted is finished, and the configuration it found is kept', async (context) => {
  const folder = await newFolder(context)
  await writeFile(join(folder, 'config.json'), '{"gatewayPort": 1}')
  assert.equal(await initRepository(folder), true)
  assert.deepEqual((await readConfigFile(folder)).values, { gatewayPort: 1 })
})

test('a repository of a newer version is UNSUPPORTED and left alone', async (context) => {
  const folder = await newFolder(context)
  await writeFile(join(folder, 'version'), `${REPOSITORY_VERSION + 1}\n`)
  await assert.rejects(initRepository(folder), (err) => isErrorCode(err, 'UNSUPPORTED') && err.message.includes('Update'))
  assert.deepEqual(await readdir(folder), ['version'])
})

test('a repository of version 1 is brought to this one, which only names its engine', async (context) => {
  const folder = await newFolder(context)
  await cp(fixturePath('repositories/version-1'), folder, { recursive: true })
  assert.equal(await readEngine(folder), 'fs')
  const before = await readdir(folder, { recursive: true })
  assert.equal(await migrateRepository(folder), 1)
  assert.deepEqual([await readVersion(folder), await readEngine(folder)], [REPOSITORY_VERSION, 'fs'])
  assert.deepEqual((await readdir(folder, { recursive: true })).toSorted(), [...before, 'engine'].toSorted())
  assert.equal(await migrateRepository(folder), REPOSITORY_VERSION)
})

test('a migration that was interrupted before the version was written is done again', async (context) => {
  const folder = await newFolder(context)
  await cp(fixturePath('repositories/version-1'), folder, { recursive: true })
  await writeFile(join(folder, 'engine'), 'fs\n')
  assert.equal(await migrateRepository(folder), 1)
  assert.deepEqual([await readVersion(folder), await readEngine(folder)], [REPOSITORY_VERSION, 'fs'])
})

test('a repository keeps its engine: asking for another one is INVALID and says how to move', async (context) => {
  const folder = await newFolder(context)
  await initRepository(folder, 'fs')
  assert.equal(await initRepository(folder, 'fs'), false)
  assert.equal(await initRepository(folder), false)
  await assert.rejects(initRepository(folder, 'pack'), (err) => isErrorCode(err, 'INVALID') && err.message.includes('repo convert --to pack'))
})

test('a version that was lost beside blocks in files makes no other engine of them', async (context) => {
  const folder = await newFolder(context)
  await mkdir(join(folder, 'blocks'))
  await initRepository(folder)
  assert.equal(await readEngine(folder), 'fs')
})

for (const text of [undefined, '', 'packs', 'pack\nfs']) {
  test(`an engine file of ${JSON.stringify(text)} is INVALID and says what belongs into it`, async (context) => {
    const folder = await newFolder(context)
    await initRepository(folder)
    if (text === undefined) await rm(join(folder, 'engine'))
    else await writeFile(join(folder, 'engine'), text)
    await assert.rejects(readEngine(folder), (err) => isErrorCode(err, 'INVALID') && err.message.includes('fs'))
  })
}

for (const text of ['', 'one', '-1', '1\n2', '99999999999']) {
  test(`a version file of ${JSON.stringify(text)} is INVALID`, async (context) => {
    const folder = await newFolder(context)
    await writeFile(join(folder, 'version'), text)
    await assert.rejects(readVersion(folder), (err) => isErrorCode(err, 'INVALID'))
  })
}

test('a place that cannot be a repository is UNAVAILABLE', async (context) => {
  const file = join(await newFolder(context), 'file')
  await writeFile(file, '')
  await assert.rejects(initRepository(join(file, 'repository')), (err) => isErrorCode(err, 'UNAVAILABLE'))
})

test('the configuration is replaced as a whole', async (context) => {
  const folder = await newFolder(context)
  await initRepository(folder)
  await writeConfigFile(folder, { network: 'off' })
  assert.deepEqual((await readConfigFile(folder)).values, { network: 'off' })
  assert.deepEqual((await readdir(folder)).filter((name) => name.endsWith('.tmp')), [])
})

test('a configuration that cannot be read is UNAVAILABLE, not empty', async (context) => {
  const folder = await newFolder(context)
  await mkdir(join(folder, 'config.json'))
  await assert.rejects(readConfigFile(folder), (err) => isErrorCode(err, 'UNAVAILABLE'))
})

test('the flag wins over the variable, and an empty variable is none', () => {
  assert.equal(repositoryPath('/a', '/b'), '/a')
  assert.equal(repositoryPath(undefined, '/b'), '/b')
  assert.ok(repositoryPath(undefined, '').endsWith('.holdfast'))
})

test('a socket path that the system could not hold moves to the runtime folder', { skip: process.platform === 'win32' }, () => {
  assert.equal(socketPathOf('/short', '/run/user/1'), '/short/api.sock')
  const long = `/${'x'.repeat(MAX_SOCKET_PATH_BYTES)}`
  const moved = socketPathOf(long, '/run/user/1')
  assert.ok(moved.startsWith('/run/user/1/holdfast-'))
  assert.ok(Buffer.byteLength(moved) <= MAX_SOCKET_PATH_BYTES)
  assert.notEqual(moved, socketPathOf(`${long}y`, '/run/user/1'))
  assert.ok(Buffer.byteLength(socketPathOf(long, long)) <= MAX_SOCKET_PATH_BYTES)
})
