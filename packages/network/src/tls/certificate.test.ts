import { generateKeyPair } from '@libp2p/crypto/keys'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { verifyPeerCertificate } from '@libp2p/tls/utils'
import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { test } from 'node:test'
import { newCertificate } from './certificate.ts'

const KEYS = {
  Ed25519: async () => await generateKeyPair('Ed25519'),
  secp256k1: async () => await generateKeyPair('secp256k1'),
  RSA: async () => await generateKeyPair('RSA', 2048)
} as const

for (const [type, make] of Object.entries(KEYS)) {
  test(`the library takes a certificate of a key of type ${type} for its node, and OpenSSL takes it for one that has signed itself`, async () => {
    const identity = await make()
    const certificate = new X509Certificate((await newCertificate(identity)).cert)
    assert.equal((await verifyPeerCertificate(certificate.raw)).toString(), peerIdFromPrivateKey(identity).toString())
    assert.ok(certificate.verify(certificate.publicKey))
  })
}

test('a certificate is valid on every clock', async (context) => {
  const { raw, validFrom, validTo } = new X509Certificate((await newCertificate(await generateKeyPair('Ed25519'))).cert)
  assert.deepEqual([validFrom, validTo].map((text) => new Date(text).getUTCFullYear()), [1975, 4096])
  for (const now of ['1976-01-01', '2049-12-31', '2126-01-01']) {
    context.mock.timers.enable({ apis: ['Date'], now: Date.parse(now) })
    await verifyPeerCertificate(raw)
    context.mock.timers.reset()
  }
})

test('no two certificates have the same key or serial number', async () => {
  const identity = await generateKeyPair('Ed25519')
  const [a, b] = await Promise.all([newCertificate(identity), newCertificate(identity)])
  assert.notEqual(a.key, b.key)
  assert.notEqual(new X509Certificate(a.cert).serialNumber, new X509Certificate(b.cert).serialNumber)
})
