import { isErrorCode } from '@holdfast/core'
import { noise } from '@chainsafe/libp2p-noise'
import { generateKeyPair, publicKeyFromProtobuf, publicKeyToProtobuf } from '@libp2p/crypto/keys'
import { identify } from '@libp2p/identify'
import type { ConnectionEncrypter } from '@libp2p/interface'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { tcp } from '@libp2p/tcp'
import { tls } from '@libp2p/tls'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'
import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { test, type TestContext } from 'node:test'
import { addressOf, newHost, until } from '../test/harness.ts'
import { muxers } from './muxers.ts'
import { quietLogger } from './quiet-logger.ts'
import { isAcceptableKeyBytes } from './security.ts'

/** The public key of an RSA pair as libp2p sends it: type 0 and the DER of the key. */
function rsaKey (bits: number): Uint8Array {
  const der = generateKeyPairSync('rsa', { modulusLength: bits }).publicKey.export({ type: 'spki', format: 'der' })
  return Buffer.concat([Uint8Array.of(0x08, 0, 0x12, der.byteLength & 0x7f | 0x80, der.byteLength >> 7), der])
}

for (const [bits, isAcceptable] of [[1024, false], [2047, false], [2048, true], [3072, true], [4096, true]] as const) {
  test(`an RSA key of ${bits} bits is ${isAcceptable ? 'taken' : 'refused'}`, () => {
    assert.equal(isAcceptableKeyBytes(rsaKey(bits)), isAcceptable)
  })
}

/** As many bits as are asked for, which nobody could sign with: made without the time that a real one takes. */
function longRsaKey (bits: number): Uint8Array {
  const modulus = Buffer.concat([Uint8Array.of(0), Buffer.alloc(bits / 8, 0xff)])
  const sequence = (tag: number, ...parts: Uint8Array[]): Buffer => {
    const body = Buffer.concat(parts)
    return Buffer.concat([Uint8Array.of(tag, 0x82, body.byteLength >> 8, body.byteLength & 0xff), body])
  }
  const algorithm = Buffer.from('300d06092a864886f70d0101010500', 'hex')
  const key = sequence(0x30, sequence(0x02, modulus), Uint8Array.of(0x02, 3, 1, 0, 1))
  const der = sequence(0x30, algorithm, sequence(0x03, Uint8Array.of(0), key))
  return Buffer.concat([Uint8Array.of(0x08, 0, 0x12, der.byteLength & 0x7f | 0x80, der.byteLength >> 7), der])
}

test('an RSA key above 4,096 bits is refused, and the library reads none above 8,192', () => {
  assert.equal(isAcceptableKeyBytes(longRsaKey(4096)), true)
  assert.equal(isAcceptableKeyBytes(longRsaKey(4104)), false)
  assert.equal(isAcceptableKeyBytes(longRsaKey(8192)), false)
  assert.throws(() => publicKeyFromProtobuf(longRsaKey(16_384)), /too large/)
  assert.equal(isAcceptableKeyBytes(longRsaKey(16_384)), false)
})

test('keys of other kinds are taken, and what is no key is refused', async () => {
  for (const type of ['Ed25519', 'secp256k1'] as const) assert.equal(isAcceptableKeyBytes(publicKeyToProtobuf((await generateKeyPair(type)).publicKey)), true)
  assert.equal(isAcceptableKeyBytes(Uint8Array.of(1, 2, 3)), false)
})

for (const [name, encrypters] of Object.entries({ tls: [tls()], noise: [noise()] })) {
  test(`a peer with an RSA key of 1,024 bits is turned away over ${name}, one with 2,048 is not`, async (context) => {
    const host = await newHost(context)
    const strong = await dialWith(context, addressOf(host), 2048, encrypters)
    const weak = await dialWith(context, addressOf(host), 1024, encrypters)
    await until(() => weak === 'refused' || weak.status !== 'open')
    await until(() => host.peers().length === 1)
    assert.ok(strong !== 'refused' && strong.status === 'open')
  })
}

for (const type of ['Ed25519', 'RSA'] as const) {
  for (const [name, connectionEncrypters] of Object.entries({ tls: [tls()], noise: [noise()] })) {
    test(`a peer with an ${type} key that answers under the id of another is refused and named, over ${name}`, async (context) => {
      const impostor = await createLibp2p({
        privateKey: await (type === 'RSA' ? generateKeyPair(type, 2048) : generateKeyPair(type)),
        logger: quietLogger,
        addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
        transports: [tcp()],
        connectionEncrypters,
        streamMuxers: muxers(),
        connectionMonitor: { enabled: false }
      })
      context.after(async () => { await impostor.stop() })
      const wanted = peerIdFromPrivateKey(await (type === 'RSA' ? generateKeyPair(type, 2048) : generateKeyPair(type))).toString()
      const address = String(impostor.getMultiaddrs()[0]).replace(impostor.peerId.toString(), wanted)
      const host = await newHost(context)
      await assert.rejects(host.connect(address), (err) => isErrorCode(err, 'UNAVAILABLE') && err.message.includes(wanted) && err.message.endsWith(`another peer is at this address: ${impostor.peerId.toString()}`))
      await until(() => impostor.getConnections().length === 0)
      assert.deepEqual(host.peers(), [])
    })
  }
}

async function dialWith (context: TestContext, address: string, bits: number, connectionEncrypters: Array<(components: Parameters<ReturnType<typeof noise>>[0] & Parameters<ReturnType<typeof tls>>[0]) => ConnectionEncrypter>) {
  const node = await createLibp2p({
    privateKey: await generateKeyPair('RSA', bits),
    logger: quietLogger,
    transports: [tcp()],
    connectionEncrypters,
    streamMuxers: muxers(),
    connectionMonitor: { enabled: false },
    services: { identify: identify() }
  })
  context.after(async () => { await node.stop() })
  return await node.dial(multiaddr(address)).catch(() => 'refused' as const)
}
