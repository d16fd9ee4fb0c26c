import fc from 'fast-check'
import { xsalsa20 } from '@noble/ciphers/salsa.js'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { KeyStream } from './key-stream.ts'

test('bytes come out the same in whatever pieces they are cut', () => {
  fc.assert(fc.property(fc.uint8Array({ minLength: 32, maxLength: 32 }), fc.uint8Array({ minLength: 24, maxLength: 24 }), fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 20 }), (key, nonce, pieces) => {
    const stream = new KeyStream(key, nonce)
    const whole = Buffer.concat(pieces)
    const cut = Buffer.concat(pieces.map((piece) => stream.xor(piece)))
    assert.deepEqual(cut, Buffer.from(xsalsa20(key, nonce, whole)))
  }))
})

test('what is given is left as it was', () => {
  const given = new Uint8Array(100)
  new KeyStream(new Uint8Array(32), new Uint8Array(24)).xor(given)
  assert.deepEqual(given, new Uint8Array(100))
})

test('the stream of zeros is that of the specification', () => {
  // "Cryptography in NaCl", D. J. Bernstein, section 9: the first 32 bytes of the XSalsa20 stream.
  const key = Buffer.from('1b27556473e985d462cd51197a9a46c76009549eac6474f206c4ee0844f68389', 'hex')
  const nonce = Buffer.from('69696ee955b62b73cd62bda875fc73d68219e0036b7a0b37', 'hex')
  assert.equal(Buffer.from(new KeyStream(key, nonce).xor(new Uint8Array(32))).toString('hex'), 'eea6a7251c1e72916d11c2cb214d3c252539121d8e234e652d651fa4c8cff880')
})
