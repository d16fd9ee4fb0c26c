import { isErrorCode, parseCid } from '@holdfast/core'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type CidConversion, convertCid, formatCid } from './cid-format.ts'

const V0 = 'QmVr26fY1tKyspEJBniVhqxQeEjhF78XerGiqWAwraVLQH'
const V1 = 'bafybeidpq7lcjx4w5c6yr4vuthzvlav54hgxsremwk73to5ferdc2rxhai'
const RAW = 'bafkreibmlvvgdyihetgocpof6xk64kjjzdeq2e4c7hqs3krdheosk4tgj4'

function written (text: string, conversion: CidConversion, format = '%s'): string {
  return formatCid(convertCid(parseCid(text), text, conversion), format)
}

test('a CID changes its version, base and codec, and keeps its multihash', () => {
  const digest = parseCid(V0).multihash.bytes
  assert.equal(written(V0, {}), V0)
  assert.equal(written(V0, { version: 1 }), parseCid(V0).toV1().toString())
  assert.equal(written(V0, { base: 'base32' }), parseCid(V0).toV1().toString(), 'another base implies version 1')
  assert.equal(written(written(V0, { base: 'base36' }), { version: 0 }), V0)
  assert.equal(written(RAW, { base: 'f' })[0], 'f')
  assert.equal(parseCid(written(V0, { version: 1, base: 'z' })).toString(), parseCid(V0).toV1().toString())
  for (const base of ['base16upper', 'base58btc', 'base64url', 'u']) assert.deepEqual(parseCid(written(V1, { base })).bytes, parseCid(V1).bytes, base)
  assert.deepEqual(parseCid(written(V0, { codec: 'raw', version: 1 })).multihash.bytes, digest)
})

test('a format takes a CID apart', () => {
  assert.equal(written(V0, {}, '%v %V %c %C %h %H %L %b %B %%'), 'cidv0 0 dag-pb 112 sha2-256 18 32 base58btc z %')
  assert.equal(written(RAW, {}, '%P'), 'cidv1-raw-sha2-256-32')
  assert.equal(written(RAW, { base: 'base16' }, '%M'), Buffer.from(parseCid(RAW).multihash.bytes).toString('hex'))
  assert.equal(written(RAW, { base: 'base16' }, '%d'), `f${Buffer.from(parseCid(RAW).multihash.digest).toString('hex')}`)
  assert.equal(written(V0, {}, '%S|%m'), `${V0}|z${V0}`)
})

test('what cannot be is INVALID', () => {
  const refused: ReadonlyArray<readonly [text: string, conversion: CidConversion, format?: string]> = [
    [RAW, { version: 0 }], [V0, { version: 0, base: 'base32' }], [V0, { version: 2 }], [V0, { base: 'base7' }], [V0, { codec: 'none' }], [V0, {}, '%x'], [V0, {}, 'a%']
  ]
  for (const [text, conversion, format] of refused) assert.throws(() => written(text, conversion, format), (err) => isErrorCode(err, 'INVALID'), JSON.stringify([text, conversion, format]))
})
