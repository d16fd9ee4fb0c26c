import { isErrorCode } from '@holdfast/core'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type UploadedPart, uploadedParts } from './upload.ts'

async function * once (text: string): AsyncIterable<Uint8Array> {
  yield Buffer.from(text)
}

async function upload (...parts: ReadonlyArray<readonly [headers: string, content?: string]>): Promise<UploadedPart[]> {
  const body = parts.map(([headers, content = '']) => `--b\r\n${headers}\r\n\r\n${content}\r\n`).join('')
  return await Array.fromAsync(uploadedParts('multipart/form-data; boundary=b', once(`${body}--b--\r\n`)))
}

const named = (filename: string, name: string = 'file'): string => `Content-Disposition: form-data; name="${name}"; filename="${filename}"`

test('file names are read as every client of Kubo writes them', async () => {
  const cases: ReadonlyArray<readonly [string, readonly string[]]> = [
    ['a.txt', ['a.txt']],
    ['dir%2Fa%20b.txt', ['dir', 'a b.txt']], // kubo-rpc-client
    ['dir/a+b.txt', ['dir', 'a b.txt']], // Go's query escaping
    ['100%25%2B.txt', ['100%+.txt']],
    ['50%.txt', ['50%.txt']], // not escaped at all
    ['%E4%BD%A0', ['你']],
    ['grüße', ['grüße']], // curl
    ['say \\"hi\\"', ['say "hi"']],
    ['', ['']]
  ]
  for (const [filename, path] of cases) {
    const [part] = await upload([named(filename)])
    assert.deepEqual(part?.path, path, filename)
  }
})

test('a part without a name, or without any header, is a file without a name', async () => {
  for (const headers of ['Content-Disposition: form-data', 'X-Other: 1']) {
    const [part] = await upload([headers, 'x'])
    assert.equal(part?.kind, 'file')
    assert.deepEqual(part?.path, [''])
  }
})

test('the content type says what a part is', async () => {
  const parts = await upload(
    [`${named('d')}\r\nContent-Type: application/x-directory`],
    [`${named('l')}\r\nContent-Type: application/symlink`, '../target'],
    [`${named('f')}\r\nContent-Type: application/octet-stream; charset=binary`, 'x']
  )
  assert.deepEqual(parts.map(({ kind }) => kind), ['directory', 'symlink', 'file'])
  const [, link] = parts
  assert.equal(link?.kind === 'symlink' && Buffer.from(link.target).toString(), '../target')
})

test('mode and mtime stand behind the name of the field; what is no number is passed over', async () => {
  const cases: ReadonlyArray<readonly [string, object]> = [
    ['file?mode=0644&mtime=1700000000&mtime-nsecs=5', { mode: 0o644, mtime: { seconds: 1_700_000_000n, nanoseconds: 5 } }],
    ['file?mtime=-5', { mtime: { seconds: -5n, nanoseconds: 0 } }],
    ['file?mode=rwx&mtime=yesterday', {}],
    ['file?mode=100644', { mode: 0o644 }],
    ['file?mtime=99999999999999999999', {}],
    ['file', {}]
  ]
  for (const [name, attributes] of cases) {
    const [part] = await upload([named('a', name)])
    assert.deepEqual(part?.attributes, attributes, name)
  }
})

test('the target of a symlink is bounded', async () => {
  await assert.rejects(upload([`${named('l')}\r\nContent-Type: application/symlink`, 'x'.repeat(4097)]), (err) => isErrorCode(err, 'LIMIT'))
})
