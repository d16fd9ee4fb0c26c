import { isErrorCode } from '@holdfast/core'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MAX_PATH_BYTES, parseContentPath } from './content-path.ts'

const CID_TEXT = 'bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e'

const READ: ReadonlyArray<[text: string, segments: string[]]> = [
  [CID_TEXT, []],
  [`/ipfs/${CID_TEXT}`, []],
  [`/ipfs/${CID_TEXT}/`, []],
  [`${CID_TEXT}/a/b`, ['a', 'b']],
  [`/ipfs/${CID_TEXT}//a/./b/../c`, ['a', 'c']],
  [`/ipfs/${CID_TEXT}/../../a`, ['a']],
  [`ipfs://${CID_TEXT}/a%20b/%252F`, ['a b', '%2F']],
  [`/ipfs/${CID_TEXT}/a%20b`, ['a%20b']]
]

for (const [text, segments] of READ) {
  test(`${text} is read as ${JSON.stringify(segments)}`, () => {
    const path = parseContentPath(text)
    assert.equal(path.root.toString(), CID_TEXT)
    assert.deepEqual(path.segments, segments)
  })
}

const REFUSED = ['', '/', '/ipfs/', 'hello', `${CID_TEXT}x`, `/ipfs/${CID_TEXT}/a\0b`, `ipfs://${CID_TEXT}/%zz`, 'x'.repeat(MAX_PATH_BYTES + 1), 'http://example.org/']

for (const text of REFUSED) {
  test(`${JSON.stringify(text.slice(0, 80))} is refused as a path`, () => {
    assert.throws(() => parseContentPath(text), (err) => isErrorCode(err, 'INVALID'))
  })
}

test('names of /ipns are refused as not supported yet', () => {
  assert.throws(() => parseContentPath('/ipns/example.org'), (err) => isErrorCode(err, 'UNSUPPORTED'))
})
