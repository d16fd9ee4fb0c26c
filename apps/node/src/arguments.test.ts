import { isErrorCode } from '@holdfast/core'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { onlyArgument, parseCommandArguments, splitCommandLine, wholeNumber } from './arguments.ts'

const COMMAND = {
  usage: 'do THING',
  flags: {
    pin: { type: 'boolean', help: '' },
    quiet: { type: 'boolean', short: 'q', help: '' },
    name: { type: 'string', short: 'n', help: '' },
    'empty-dirs': { type: 'boolean', help: '' }
  }
} as const

test('flags may stand before the command, and --path takes its value along', () => {
  assert.deepEqual(splitCommandLine(['--path', '/a', '--json', 'pin', 'ls', '--path', '/b']), { before: ['--path', '/a', '--json'], words: ['pin', 'ls', '--path', '/b'] })
  assert.deepEqual(splitCommandLine(['--path=/a', 'id']), { before: ['--path=/a'], words: ['id'] })
  assert.deepEqual(splitCommandLine([]), { before: [], words: [] })
})

test('boolean flags can be denied in three ways', () => {
  for (const word of ['--no-pin', '--pin=false']) assert.equal(parseCommandArguments(COMMAND, [word]).flags.pin, false)
  assert.equal(parseCommandArguments(COMMAND, ['--empty-dirs=false']).flags['empty-dirs'], false)
  assert.equal(parseCommandArguments(COMMAND, ['--pin=true']).flags.pin, true)
  assert.equal(parseCommandArguments(COMMAND, []).flags.pin, undefined)
})

test('a dash is an argument, and everything after -- is', () => {
  assert.deepEqual(parseCommandArguments(COMMAND, ['-', '-q', '--', '--name']).args, ['-', '--name'])
})

for (const words of [['--bogus'], ['-z'], ['--name'], ['--name=a', '--quiet=maybe']]) {
  test(`${words.join(' ')} is INVALID and the usage is told`, () => {
    assert.throws(() => parseCommandArguments(COMMAND, words), (err) => isErrorCode(err, 'INVALID') && err.message.includes('Usage: holdfast do THING'))
  })
}

test('one argument is neither none nor two', () => {
  assert.equal(onlyArgument(['a'], 'CID'), 'a')
  for (const args of [[], ['a', 'b']]) assert.throws(() => onlyArgument(args, 'CID'), (err) => isErrorCode(err, 'INVALID'))
})

test('whole numbers are digits only', () => {
  assert.equal(wholeNumber('offset', '12'), 12)
  assert.equal(wholeNumber('offset', undefined), undefined)
  for (const text of ['', '-1', '1.5', '1e3', '0x10', ' 1', '9'.repeat(16)]) assert.throws(() => wholeNumber('offset', text), (err) => isErrorCode(err, 'INVALID'), text)
})
