import { isErrorCode } from '@holdfast/core'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { leavesTree, requireDiskName } from './disk-name.ts'

const NOWHERE = ['', '.', '..', 'a/b', '/', '/etc/passwd', '../x', 'nul\0', '\ud800', 'a'.repeat(256), 'ä'.repeat(128)]
const EVERYWHERE = ['a', '..a', ' a', '-rf', '~', '\u202etxt.exe', 'a'.repeat(255), 'ä'.repeat(127), '名前']
const NOT_ON_WINDOWS = ['CON', 'con.txt', 'Nul', 'LPT9', 'COM¹.log', 'AUX.', 'a:b', 'C:', 'a\\b', '..\\x', 'what?', 'x*', 'a|b', 'end.', 'end ', '...', ' ', 'tab\t', '\u001b[31m', 'a"b', '<a>']

test('names that no file system takes are refused', () => {
  for (const platform of ['linux', 'win32', 'darwin'] as const) {
    for (const name of NOWHERE) assert.throws(() => requireDiskName(name, platform), (err) => isErrorCode(err, 'INVALID'), JSON.stringify(name))
    for (const name of EVERYWHERE) requireDiskName(name, platform)
  }
})

test('names that mean something to Windows are refused there only', () => {
  for (const name of NOT_ON_WINDOWS) {
    requireDiskName(name, 'linux')
    assert.throws(() => requireDiskName(name, 'win32'), (err) => isErrorCode(err, 'INVALID'), JSON.stringify(name))
  }
  for (const name of ['CONSOLE', 'COM', 'LPT10', 'a.con', 'nul_']) requireDiskName(name, 'win32')
})

test('a symlink leaves the tree unless it goes up no further than its directories, and only at first', () => {
  const inside: Array<[path: string, target: string]> = [['a', 'b'], ['a', '.'], ['a', './b//c/'], ['d/a', '..'], ['d/a', '../b'], ['d/a', './../b'], ['d/e/a', '../../b'], ['a', '..b']]
  const outside: Array<[path: string, target: string]> = [['', 'b'], ['a', '..'], ['a', '../b'], ['a', '/'], ['a', '/etc'], ['d/a', '../..'], ['d/a', '../../d/b'], ['a', 'b/..'], ['d/a', 'b/../../..'], ['d/a', '../b/..']]
  for (const [path, target] of inside) assert.equal(leavesTree(path.split('/'), target, 'linux'), false, `${path} -> ${target}`)
  for (const [path, target] of outside) assert.equal(leavesTree(path === '' ? [] : path.split('/'), target, 'linux'), true, `${path} -> ${target}`)
})

test('backslashes and drives count on Windows only', () => {
  for (const target of ['\\x', '..\\x', 'C:x', 'C:\\x', '\\\\server\\share', 'b\\..\\..\\x']) {
    assert.equal(leavesTree(['a'], target, 'win32'), true, target)
    assert.equal(leavesTree(['a'], target, 'linux'), false, target)
  }
})
