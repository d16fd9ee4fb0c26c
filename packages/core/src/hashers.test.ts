import { blake2b, blake2s } from '@noble/hashes/blake2.js'
import { blake3 } from '@noble/hashes/blake3.js'
import { keccak_256 as keccak256 } from '@noble/hashes/sha3.js'
import { hash as nodeHash } from 'node:crypto'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isErrorCode } from './errors.ts'
import { hasherNamed, hasherNames, hasherOf, IDENTITY, MIN_DIGEST_BYTES, SHA2_256 } from './hashers.ts'

const ABC = Buffer.from('abc')

/** Digests of "abc": FIPS 180-4 and 202 examples, the Keccak and BLAKE papers; codes from the multicodec table. */
const DIGESTS: ReadonlyArray<readonly [name: string, code: number, digest: string]> = [
  ['identity', 0x00, '616263'],
  ['sha1', 0x11, 'a9993e364706816aba3e25717850c26c9cd0d89d'],
  ['sha2-256', 0x12, 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad'],
  ['sha2-512', 0x13, 'ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f'],
  ['sha3-512', 0x14, 'b751850b1a57168a5693cd924b6b096e08f621827444f70d884f5d0240d2712e10e116e9192af3c91a7ec57647e3934057340b4cf408d5a56592f8274eec53f0'],
  ['sha3-384', 0x15, 'ec01498288516fc926459f58e2c6ad8df9b473cb0fc08c2596da7cf0e49be4b298d88cea927ac7f539f1edf228376d25'],
  ['sha3-256', 0x16, '3a985da74fe225b2045c172d6bd390bd855f086e3e9d525b46bfe24511431532'],
  ['sha3-224', 0x17, 'e642824c3f8cf24ad09234ee7d3c766fc9a3a5168d0c94ad73b46fdf'],
  ['shake-128', 0x18, '5881092dd818bf5cf8a3ddb793fbcba74097d5c526a6d35f97b83351940f2cc8'],
  ['shake-256', 0x19, '483366601360a8771c6863080cc4114d8db44530f8f1e1ee4f94ea37e78b5739d5a15bef186a5386c75744c0527e1faa9f8726e462a12a4feb06bd8801e751e4'],
  ['keccak-224', 0x1a, 'c30411768506ebe1c2871b1ee2e87d38df342317300a9b97a95ec6a8'],
  ['keccak-256', 0x1b, '4e03657aea45a94fc7d47ba826c8d667c0d1e6e33a64a036ec44f58fa12d6c45'],
  ['keccak-384', 0x1c, 'f7df1165f033337be098e7d288ad6a2f74409d7a60b49c36642218de161b1f99f8c681e4afaf31a34db29fb763e3c28e'],
  ['keccak-512', 0x1d, '18587dc2ea106b9a1563e32b3312421ca164c7f1f07bc922a9c83d77cea3a1e5d0c69910739025372dc14ac9642629379540c17e2a65b19d77aa511a9d00bb96'],
  ['blake3', 0x1e, '6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85'],
  ['dbl-sha2-256', 0x56, '4f8b42c22dd3729b519ba6f68d2da7cc5b2d606d05daed5ad5128cc03e6c6358'],
  ['blake2b-256', 0xb220, 'bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319'],
  ['blake2b-512', 0xb240, 'ba80a53f981c4d0d6a2797b69f12f6e94c212f14685ac4b74b12bb6fdbffa2d17d87c5392aab792dc252d5de4533cc9518d38aa8dbf1925ab92386edd4009923'],
  ['blake2s-256', 0xb260, '508c5e8c327c14e2e1a72ba34eeb452f37458b209ed63a294d999b4c86675982']
]

for (const [name, code, digest] of DIGESTS) {
  test(`${name} of "abc" is what its specification says`, async () => {
    assert.equal(Buffer.from(await hasherOf(code).digest(ABC)).toString('hex'), digest)
    assert.equal(hasherNamed(name), hasherOf(code))
    assert.deepEqual([hasherOf(code).name, hasherOf(code).code], [name, code])
  })
}

test('the shortened BLAKE2 hashes have the length of their name, down to 160 bits', async () => {
  for (const [family, base, maxBytes] of [['blake2b', 0xb200, 64], ['blake2s', 0xb240, 32]] as const) {
    for (let bytes = MIN_DIGEST_BYTES; bytes <= maxBytes; bytes++) {
      const hasher = hasherOf(base + bytes)
      assert.equal(hasher.name, `${family}-${bytes * 8}`)
      assert.equal((await hasher.digest(ABC)).byteLength, bytes)
    }
    assert.throws(() => hasherOf(base + MIN_DIGEST_BYTES - 1), (err) => isErrorCode(err, 'UNSUPPORTED'))
  }
})

test('BLAKE2 of full length agrees with OpenSSL on bytes of many lengths', async () => {
  for (const byteLength of [0, 1, 63, 64, 65, 127, 128, 129, 1000]) {
    const bytes = Uint8Array.from({ length: byteLength }, (_, index) => index % 251)
    assert.deepEqual(Buffer.from(await hasherOf(0xb240).digest(bytes)), nodeHash('blake2b512', bytes, 'buffer'))
    assert.deepEqual(Buffer.from(await hasherOf(0xb260).digest(bytes)), nodeHash('blake2s256', bytes, 'buffer'))
  }
})

test('BLAKE3 of nothing is what its specification says', async () => {
  assert.equal(Buffer.from(await hasherOf(0x1e).digest(new Uint8Array())).toString('hex'), 'af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262')
})

test('a hash that is not known, or too weak to name content, is UNSUPPORTED', () => {
  const MURMUR3 = 0x22
  const MD5 = 0xd5
  for (const code of [MURMUR3, MD5, 0x300000, -1, Number.NaN]) assert.throws(() => hasherOf(code), (err) => isErrorCode(err, 'UNSUPPORTED'))
  for (const name of ['md5', 'SHA2-256', '', '__proto__', 'constructor']) {
    assert.throws(() => hasherNamed(name), (err) => isErrorCode(err, 'UNSUPPORTED') && err.message.includes('sha2-256'), name)
  }
})

test('the names that are offered can be used, and identity is none of them', () => {
  const names = hasherNames()
  for (const name of names) assert.equal(hasherNamed(name).name, name)
  assert.equal(names.includes('sha2-256') && names.includes('blake3'), true)
  assert.equal(names.includes(hasherOf(IDENTITY).name), false)
  assert.ok(names.length < 25, 'the many lengths of BLAKE2 are left out')
  assert.equal(hasherOf(SHA2_256).name, 'sha2-256')
})

test('a hash in JavaScript lets the event loop go on during a block, and comes to the same digest as in one piece', async () => {
  const block = new Uint8Array(2 * 1024 * 1024).fill(7)
  const expected: ReadonlyArray<readonly [name: string, digest: Uint8Array]> = [
    ['blake3', blake3(block)], ['keccak-256', keccak256(block)], ['blake2b-256', blake2b(block, { dkLen: 32 })], ['blake2s-256', blake2s(block, { dkLen: 32 })]
  ]
  for (const [name, digest] of expected) {
    let turnCount = 0
    let isHashing = true
    const turn = (): void => {
      turnCount++
      if (isHashing) setImmediate(turn)
    }
    turn()
    const found = await hasherNamed(name).digest(block)
    isHashing = false
    assert.deepEqual(found, digest, name)
    assert.ok(turnCount >= 10, `${name}: the loop turned ${turnCount} times`)
  }
})
