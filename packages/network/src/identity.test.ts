import { isErrorCode, type LogFields, silentLogger } from '@holdfast/core'
import { privateKeyFromProtobuf } from '@libp2p/crypto/keys'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import assert from 'node:assert/strict'
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { inspect } from 'node:util'
import { openIdentity, SIGNATURE_BYTES, verifySignature } from './identity.ts'

async function newPath (context: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-'))
  context.after(async () => { await rm(folder, { recursive: true, force: true }) })
  return join(folder, 'identity.key')
}

test('an identity is made once and found again', async (context) => {
  const path = await newPath(context)
  const made = await openIdentity(path)
  assert.match(made.peerId, /^12D3Koo[A-HJ-NP-Za-km-z1-9]{45}$/)
  assert.equal((await openIdentity(path)).peerId, made.peerId)
  assert.deepEqual(await readdir(join(path, '..')), ['identity.key'])
  if (process.platform !== 'win32') assert.equal((await stat(path)).mode & 0o777, 0o600)
})

test('libp2p reads the file and gives the same peer id', async (context) => {
  for (let round = 0; round < 20; round++) {
    const path = `${await newPath(context)}${round}`
    const { peerId, privateKey } = await openIdentity(path)
    const theirs = privateKeyFromProtobuf(await readFile(path))
    assert.equal(peerIdFromPrivateKey(theirs).toString(), peerId)
    assert.deepEqual(privateKey.toProtobuf(), new Uint8Array(await readFile(path)))
  }
})

test('of many that make an identity at once all get the same', async (context) => {
  const path = await newPath(context)
  const identities = await Promise.all(Array.from({ length: 20 }, () => openIdentity(path)))
  assert.equal(new Set(identities.map(({ peerId }) => peerId)).size, 1)
  assert.deepEqual(await readdir(join(path, '..')), ['identity.key'])
})

test('a file that is no identity is CORRUPT and stays as it is', async (context) => {
  const path = await newPath(context)
  await openIdentity(path)
  const good = await readFile(path)
  const flipped = Buffer.from(good)
  flipped[40] = (flipped[40] ?? 0) ^ 1
  for (const bytes of [Buffer.alloc(0), good.subarray(0, 67), Buffer.concat([good, Buffer.alloc(1)]), flipped, Buffer.alloc(68)]) {
    await writeFile(path, bytes)
    await assert.rejects(openIdentity(path), (err) => isErrorCode(err, 'CORRUPT') && err.message.includes(path))
    assert.ok((await readFile(path)).equals(bytes))
  }
})

test('a place where no file can be is UNAVAILABLE', async (context) => {
  const path = await newPath(context)
  await mkdir(path)
  await assert.rejects(openIdentity(path), (err) => isErrorCode(err, 'UNAVAILABLE'))
  await assert.rejects(openIdentity(join(path, 'absent', 'identity.key')), (err) => isErrorCode(err, 'UNAVAILABLE'))
})

test('an identity that others can read is closed to them, with a warning', { skip: process.platform === 'win32' }, async (context) => {
  const path = await newPath(context)
  await openIdentity(path)
  await chmod(path, 0o644)
  const warnings: Array<LogFields | undefined> = []
  await openIdentity(path, { log: { ...silentLogger, warn: (_message, fields) => { warnings.push(fields) } } })
  assert.equal(warnings.length, 1)
  assert.equal((await stat(path)).mode & 0o777, 0o600)
})

test('the private key does not show itself', async (context) => {
  const { privateKey } = await openIdentity(await newPath(context))
  const secret = Buffer.from(privateKey.toProtobuf()).toString('hex')
  for (const shown of [inspect(privateKey, { showHidden: true, depth: 9 }), JSON.stringify({ privateKey }), String(privateKey), inspect({ privateKey })]) {
    assert.ok(!shown.includes(secret.slice(8, 24)) && shown.includes('[private key]'), shown)
  }
})

test('a signature counts for its bytes and its peer, and for nothing else', async (context) => {
  const [identity, other] = [await openIdentity(await newPath(context)), await openIdentity(await newPath(context))]
  const bytes = Buffer.from('what is signed')
  const signature = identity.sign(bytes)
  assert.equal(signature.byteLength, SIGNATURE_BYTES)
  assert.equal(verifySignature(identity.peerId, bytes, signature), true)
  assert.equal(verifySignature(other.peerId, bytes, signature), false)
  for (let at = 0; at < signature.byteLength; at++) {
    const flipped = signature.slice()
    flipped[at] = (flipped[at] ?? 0) ^ 1
    assert.equal(verifySignature(identity.peerId, bytes, flipped), false, `byte ${at}`)
  }
  assert.equal(verifySignature(identity.peerId, Buffer.from('something else'), signature), false)
  assert.equal(verifySignature(identity.peerId, bytes, signature.subarray(1)), false)
})

test('libp2p verifies our signatures, and we verify those of libp2p', async (context) => {
  const identity = await openIdentity(await newPath(context))
  const theirs = privateKeyFromProtobuf(identity.privateKey.toProtobuf())
  const bytes = Buffer.from('what is signed')
  assert.equal(await theirs.publicKey.verify(bytes, identity.sign(bytes)), true)
  assert.equal(verifySignature(identity.peerId, bytes, await theirs.sign(bytes)), true)
})

test('no signature counts for a text that is not the peer id of an Ed25519 key', async (context) => {
  const identity = await openIdentity(await newPath(context))
  const signature = identity.sign(Buffer.alloc(1))
  for (const peer of ['', 'QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG', '0OIl', identity.peerId.slice(1), `${identity.peerId}1`, 'x'.repeat(10_000)]) {
    assert.equal(verifySignature(peer, Buffer.alloc(1), signature), false, peer)
  }
})
