import fc from 'fast-check'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { contentDisposition } from './content-disposition.ts'

for (const [filename, ascii, encoded] of [
  ['testтест.tar', 'test____.tar', 'test%D1%82%D0%B5%D1%81%D1%82.tar'],
  ['a b.txt', 'a b.txt', 'a%20b.txt'],
  ['🚀.txt', '_.txt', '%F0%9F%9A%80.txt'],
  ['a"; filename="evil.exe', 'a_; filename=_evil.exe', 'a%22%3B%20filename%3D%22evil.exe'],
  ['a\r\nSet-Cookie: x', 'aSet-Cookie: x', 'aSet-Cookie%3A%20x'],
  ['../../etc\\passwd', '.._.._etc_passwd', '.._.._etc_passwd'],
  ["it's(1)*.txt", "it's(1)*.txt", 'it%27s%281%29%2A.txt'],
  ['\ud800', '_', '%EF%BF%BD']
] as const) {
  test(`a file name is printed in ASCII and in UTF-8: ${JSON.stringify(filename)}`, () => {
    assert.equal(contentDisposition('attachment', filename), `attachment; filename="${ascii}"; filename*=UTF-8''${encoded}`)
  })
}

test('no file name can end the quotes or the header, and long ones are cut', () => {
  fc.assert(fc.property(fc.string({ unit: 'binary', maxLength: 400 }), (filename) => {
    assert.match(contentDisposition('inline', filename), /^inline; filename="[\x20\x21\x23-\x5b\x5d-\x7e]{0,255}"; filename\*=UTF-8''[\w\-.~%]*$/)
  }))
})
