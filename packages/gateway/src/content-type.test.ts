import { threadCpuMs } from '@holdfast/testkit'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { contentTypeOfName } from './content-type.ts'
import { SNIFF_BYTES, sniffContentType } from './sniff.ts'

for (const [name, type] of [
  ['ascii.txt', 'text/plain; charset=utf-8'],
  ['index.html', 'text/html'],
  ['PAGE.HTML', 'text/html'],
  ['style.css', 'text/css; charset=utf-8'],
  ['app.mjs', 'text/javascript; charset=utf-8'],
  ['t.json', 'application/json'],
  ['cat.jpg', 'image/jpeg'],
  ['drawing.svg', 'image/svg+xml'],
  ['film.mp4', 'video/mp4'],
  ['module.wasm', 'application/wasm'],
  ['archive.tar.gz', 'application/gzip'],
  ['folder/cat.png', 'image/png'],
  ['zip', undefined],
  ['.html', undefined],
  ['README', undefined],
  ['file.unknown-extension', undefined],
  ['a.', undefined],
  ['', undefined]
] as const) {
  test(`a name promises a type: ${JSON.stringify(name)}`, () => {
    assert.equal(contentTypeOfName(name), type)
  })
}

const utf8 = (text: string): Uint8Array => Buffer.from(text)
const bytes = (...values: number[]): Uint8Array => Uint8Array.from(values)

for (const [head, type, why] of [
  [utf8(''), 'text/plain; charset=utf-8', 'nothing'],
  [utf8('hello\n'), 'text/plain; charset=utf-8', 'ASCII'],
  [utf8('zażółć gęślą jaźń 🚀'), 'text/plain; charset=utf-8', 'UTF-8'],
  [utf8('\ufeffwith a mark'), 'text/plain; charset=utf-8', 'UTF-8 with a byte order mark'],
  [utf8('\u001b[31mred\u001b[0m'), 'text/plain; charset=utf-8', 'terminal colours'],
  [utf8('BMW is a car'), 'text/plain; charset=utf-8', 'text that begins like a bitmap'],
  [utf8('MZ'), 'text/plain; charset=utf-8', 'text that begins like a program'],
  [utf8('<!DOCTYPE html><html>'), 'text/html', 'a page'],
  [utf8('\n\t <HTML lang="pl">'), 'text/html', 'a page after white space'],
  [utf8('\ufeff<!doctype html>'), 'text/html', 'a page after a byte order mark'],
  [utf8('<script>'), 'text/html', 'a script'],
  [utf8('<!-- comment'), 'text/html', 'a comment'],
  [utf8('<p class="x">'), 'text/html', 'a paragraph'],
  [utf8('<pre>'), 'text/plain; charset=utf-8', 'an element that is no mark of HTML'],
  [utf8('a < b <html>'), 'text/plain; charset=utf-8', 'HTML further in'],
  [utf8('<svg xmlns="http://www.w3.org/2000/svg">'), 'image/svg+xml', 'SVG'],
  [utf8('<?xml version="1.0"?>\n<!-- x -->\n<svg>'), 'image/svg+xml', 'SVG as XML'],
  [utf8('<?xml version="1.0"?><rss>'), 'text/xml; charset=utf-8', 'XML'],
  [utf8('%PDF-1.7\n'), 'application/pdf', 'PDF'],
  [utf8('{ "test": "i am a plain json file" }\n'), 'application/json', 'a JSON object'],
  [utf8('[1, 2]'), 'application/json', 'a JSON array'],
  [utf8('{ not json }'), 'text/plain; charset=utf-8', 'braces'],
  [utf8('[1] a footnote'), 'text/plain; charset=utf-8', 'brackets'],
  [utf8('"a string"'), 'text/plain; charset=utf-8', 'a JSON string is text'],
  [bytes(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 0, 0, 0, 13, 0x49, 0x48, 0x44, 0x52, 0, 0, 0, 1, 0, 0, 0, 1, 8, 2, 0, 0, 0), 'image/png', 'PNG, cut short'],
  [bytes(0xff, 0xd8, 0xff, 0xe0, 0, 16), 'image/jpeg', 'JPEG'],
  [bytes(0x1f, 0x8b, 8, 0), 'application/gzip', 'gzip'],
  [bytes(0x50, 0x4b, 3, 4), 'application/zip', 'zip, cut short'],
  [bytes(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0), 'application/wasm', 'WebAssembly'],
  [bytes(0xe9, 0x20, 0xe9), 'application/octet-stream', 'latin-1'],
  [bytes(0, 1, 2, 3), 'application/octet-stream', 'unknown binary'],
  [bytes(0x61, 0), 'application/octet-stream', 'a NUL in text']
] as const) {
  test(`content without a telling name is sniffed: ${why}`, async () => {
    assert.equal(await sniffContentType(head, true), type)
  })
}

for (const [text, type, why] of [
  ['{"a": [1, {"b": "c', 'application/json', 'in a string'],
  ['[{"a": tru', 'application/json', 'in a word'],
  ['[1, 2, 3.', 'application/json', 'in a number'],
  ['[1, 2,', 'application/json', 'between values'],
  ['{"a":1} and more', 'text/plain; charset=utf-8', 'after the end of a value'],
  ['{a: 1,', 'text/plain; charset=utf-8', 'not JSON at all'],
  ['łł', 'text/plain; charset=utf-8', 'in a character']
] as const) {
  test(`a head that ends early is still recognised: ${why}`, async () => {
    const head = utf8(text)
    assert.equal(await sniffContentType(why === 'in a character' ? head.subarray(0, head.length - 1) : head, false), type)
  })
}

test('sniffing the worst head takes milliseconds', async () => {
  for (const unit of ['<!--', '[', '{"', '\\"', '<?xml', ' ', '[[1,']) {
    const started = threadCpuMs()
    await sniffContentType(utf8(unit.repeat(Math.ceil(SNIFF_BYTES / unit.length)).slice(0, SNIFF_BYTES)), false)
    await sniffContentType(utf8(`<?xml?>${unit.repeat(SNIFF_BYTES / unit.length - 4)}`), false)
    assert.ok(threadCpuMs() - started < 100, unit)
  }
})
