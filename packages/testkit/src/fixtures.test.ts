import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { test } from 'node:test'
import { fixturePath } from './fixtures.ts'

test('a fixture is found by its path', async () => {
  const bytes = await readFile(fixturePath('kubo/TestDagStatCARv2.car'))
  assert.equal(bytes.byteLength, 643)
})

test('a misspelt fixture is refused by name', () => {
  assert.throws(() => fixturePath('kubo/TestDagStat.cra'), /No fixture kubo\/TestDagStat\.cra/)
})
