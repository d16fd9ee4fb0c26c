import { base16, base16upper } from 'multiformats/bases/base16'
import { base2 } from 'multiformats/bases/base2'
import { base32, base32upper } from 'multiformats/bases/base32'
import { base36, base36upper } from 'multiformats/bases/base36'
import { base58btc } from 'multiformats/bases/base58'
import { base64, base64pad, base64url, base64urlpad } from 'multiformats/bases/base64'
import { CID } from 'multiformats/cid'
import { create as createDigest } from 'multiformats/hashes/digest'
import fc from 'fast-check'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { cidToBase32, MAX_CID_CHARACTERS, multihashKey, parseCid } from './cid.ts'
import { isErrorCode } from './errors.ts'

/** The empty UnixFS directory, as Kubo prints it. */
const V0 = 'QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn'
const V1 = 'bafybeiczsscdsbs7ffqz55asqdf3smv6klcw3gofszvwlyarci47bgf354'

test('a CID is read in every base that IPFS tools print', () => {
  const cid = CID.parse(V1)
  for (const base of [base16, base16upper, base32, base32upper, base36, base36upper, base58btc, base64, base64pad, base64url, base64urlpad]) {
    const text = base.encode(cid.bytes)
    assert.equal(parseCid(text).toString(), V1, text)
  }
})

test('a CIDv0 is read as version 0 and names the same bytes as its version 1', () => {
  const cid = parseCid(V0)
  assert.equal(cid.version, 0)
  assert.equal(cid.toString(), V0)
  assert.equal(cidToBase32(cid), V1)
  assert.equal(multihashKey(cid), multihashKey(parseCid(V1)))
})

test('the text of any CID is read back as the same CID', () => {
  fc.assert(fc.property(fc.nat(0x3fffff), fc.nat(0x3fffff), fc.uint8Array({ maxLength: 128 }), (codec, hash, digest) => {
    const cid = CID.createV1(codec, createDigest(hash, digest))
    assert.ok(parseCid(cid.toString()).equals(cid))
    assert.ok(parseCid(cid.toString(base16)).equals(cid))
  }))
})

test('what is no CID is INVALID, and the message names it', () => {
  const texts = [
    '', 'b', 'Q', 'hello', '../etc/passwd', 'bafybei', `${V1}a`, V1.slice(0, -1), V0.slice(0, -1), `${V0}1`, `z${V0}`,
    V1.replace('b', 'f'), V1.replace('c', '1'), ` ${V1}`, `${V1}\n`, `${V0.slice(0, -1)}0`,
    base2.encode(CID.parse(V1).bytes).slice(0, 300), // Base 2 is a multibase, but nobody prints it.
    base32.encode(Uint8Array.of(2, 0x55, 0x12, 0x20, ...new Uint8Array(32))), // Version 2 does not exist.
    base32.encode(Uint8Array.of(1, 0x55, 0x12, 0x20, ...new Uint8Array(31))) // A byte is missing.
  ]
  for (const text of texts) {
    assert.throws(() => parseCid(text), (err) => isErrorCode(err, 'INVALID') && err.message.includes(JSON.stringify(text)) && err.cause instanceof Error, text)
  }
})

test('a text longer than any CID is refused unread, and not repeated in full', () => {
  const text = base16.encode(CID.createV1(0x55, createDigest(0x12, new Uint8Array(200))).bytes)
  assert.ok(text.length > MAX_CID_CHARACTERS)
  assert.throws(() => parseCid(text), (err) => isErrorCode(err, 'INVALID') && err.message.length < 100 && String(err.details.text).length === 64)
})

test('the longest CID that boxo accepts is read in its widest spelling', () => {
  // Ten bytes for a varint are never minimal in 53 bits, so the longest possible here has eight for hash and codec.
  const cid = CID.createV1(2 ** 53 - 1, createDigest(2 ** 53 - 1, new Uint8Array(128)))
  assert.ok(parseCid(cid.toString(base16)).equals(cid))
})

test('the key has one character for each byte of the multihash', () => {
  const cid = parseCid(V1)
  assert.equal(multihashKey(cid).length, 34)
  assert.deepEqual(Buffer.from(multihashKey(cid), 'latin1'), Buffer.from(cid.multihash.bytes))
})
