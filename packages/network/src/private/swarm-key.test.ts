import { isErrorCode, type LogFields, silentLogger } from '@holdfast/core'
import assert from 'node:assert/strict'
import { chmod, mkdtemp, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { addressOf, newHost, readAll } from '../../test/harness.ts'
import { newSwarmKey, openSwarmKey, parseSwarmKey } from './swarm-key.ts'

const SINK = '/holdfast/test/sink/1.0.0'
const HEX = '0123456789abcdef'.repeat(4)
const key = (...lines: readonly string[]): Uint8Array => new TextEncoder().encode(lines.join('\n'))

async function newPath (context: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-'))
  context.after(async () => { await rm(folder, { recursive: true, force: true }) })
  return join(folder, 'swarm.key')
}

for (const [what, bytes] of Object.entries({
  'as Kubo writes it': key('/key/swarm/psk/1.0.0/', '/base16/', HEX),
  'with a line feed at the end': key('/key/swarm/psk/1.0.0/', '/base16/', HEX, ''),
  'in upper case, from Windows': new TextEncoder().encode(`/key/swarm/psk/1.0.0/\r\n/base16/\r\n${HEX.toUpperCase()}\r\n`),
  'in base64': key('/key/swarm/psk/1.0.0/', '/base64/', Buffer.from(HEX, 'hex').toString('base64'))
})) {
  test(`a swarm key ${what} is read`, () => {
    assert.equal(Buffer.from(parseSwarmKey(bytes, 'x')).toString('hex'), HEX)
  })
}

for (const [what, bytes, found] of [
  ['an empty file', key(''), 'it is empty'],
  ['a bare key', key(HEX), 'its first line is another one, of 64 characters'],
  ['only a header', key('/key/swarm/psk/1.0.0/'), 'it has one line'],
  ['another encoding', key('/key/swarm/psk/1.0.0/', '/bin/', HEX), 'its second line is another one, of 5 characters'],
  ['a key that is too short', key('/key/swarm/psk/1.0.0/', '/base16/', HEX.slice(2)), 'its third line has 62 digits'],
  ['a key that is too long', key('/key/swarm/psk/1.0.0/', '/base16/', `${HEX}00`), 'its third line has 66 digits'],
  ['letters', key('/key/swarm/psk/1.0.0/', '/base16/', HEX.replace('a', 'x')), 'something else than hexadecimal digits'],
  ['no base64', key('/key/swarm/psk/1.0.0/', '/base64/', '!!!'), 'its third line is not base64'],
  ['short base64', key('/key/swarm/psk/1.0.0/', '/base64/', 'AAAA'), 'stands for 3 bytes'],
  ['two keys', key('/key/swarm/psk/1.0.0/', '/base16/', HEX, HEX), 'it has 4 lines'],
  ['an endless file', new Uint8Array(2000), 'more than 1024 bytes']
] as const) {
  test(`a swarm key file with ${what} is INVALID, says what is there and what is expected, and shows no key`, async (context) => {
    const path = await newPath(context)
    await writeFile(path, bytes, { mode: 0o600 })
    await assert.rejects(openSwarmKey(path), (err) => isErrorCode(err, 'INVALID') && err.message.includes(path) && err.message.includes(found) && err.message.includes('/base16/, then 64 hexadecimal digits') && !err.message.includes(HEX.slice(0, 20)))
  })
}

test('no swarm key file is no key', async (context) => {
  assert.equal(await openSwarmKey(await newPath(context)), undefined)
})

test('a swarm key that others can read is closed to them, with a warning', { skip: process.platform === 'win32' && 'Windows has no such modes' }, async (context) => {
  const path = await newPath(context)
  await writeFile(path, newSwarmKey())
  await chmod(path, 0o644)
  const warnings: LogFields[] = []
  const loaded = await openSwarmKey(path, { log: { ...silentLogger, warn: (_message, fields = {}) => { warnings.push(fields) } } })
  assert.ok(loaded !== undefined)
  assert.equal((await stat(path)).mode & 0o777, 0o600)
  assert.deepEqual(warnings, [{ path, mode: '644' }])
})

test('each new swarm key is another', () => {
  assert.notDeepEqual(newSwarmKey(), newSwarmKey())
})

test('64 MiB arrive intact in a private network', async (context) => {
  const swarmKey = newSwarmKey()
  const [client, server] = [await newHost(context, { swarmKey }), await newHost(context, { swarmKey })]
  const received = Promise.withResolvers<{ byteLength: number, isIntact: boolean }>()
  const piece = Buffer.alloc(1 << 20, 'behind closed doors ')
  await server.handle([SINK], async (stream) => {
    let byteLength = 0
    let isIntact = true
    for await (const bytes of stream.read()) {
      for (let at = 0; at < bytes.byteLength;) {
        const offset = (byteLength + at) % piece.byteLength
        const length = Math.min(bytes.byteLength - at, piece.byteLength - offset)
        isIntact &&= Buffer.compare(bytes.subarray(at, at + length), piece.subarray(offset, offset + length)) === 0
        at += length
      }
      byteLength += bytes.byteLength
    }
    received.resolve({ byteLength, isIntact })
  })
  await client.connect(addressOf(server))
  await using stream = await client.openStream(server.peer, [SINK])
  for (let count = 0; count < 64; count++) await stream.write([piece])
  await stream.closeWrite()
  await readAll(stream.read())
  assert.deepEqual(await received.promise, { byteLength: 64 << 20, isIntact: true })
})

const [ours, theirs] = [newSwarmKey(), newSwarmKey()]
for (const [what, swarmKey, other] of [
  ['another swarm key', ours, theirs],
  ['no swarm key', ours, undefined],
  ['a swarm key, while ours has none,', undefined, theirs]
] as const) {
  test(`a peer with ${what} is not connected, and the error speaks of the swarm key`, async (context) => {
    const [client, server] = [await newHost(context, { swarmKey }), await newHost(context, { swarmKey: other })]
    await assert.rejects(client.connect(addressOf(server)), (err) => isErrorCode(err, 'UNAVAILABLE') && err.message.includes('swarm key'))
    assert.deepEqual([client.peers(), server.peers()], [[], []])
  })
}

test('the DHT of a private network has a name of its own', async (context) => {
  const swarmKey = newSwarmKey()
  const [client, server] = [await newHost(context, { swarmKey, mode: 'public', dht: 'server' }), await newHost(context, { swarmKey, mode: 'public', dht: 'server' })]
  const identified = Promise.withResolvers<void>()
  using _ = client.watchPeers({ connected: () => { identified.resolve() }, disconnected () {} })
  await client.connect(addressOf(server))
  await identified.promise
  const { promise, resolve } = Promise.withResolvers<readonly string[]>()
  const timer = setInterval(() => {
    const protocols = client.peers()[0]?.protocols ?? []
    if (protocols.length > 0) resolve(protocols)
  }, 10)
  const protocols = await promise
  clearInterval(timer)
  assert.deepEqual(protocols.filter((protocol) => protocol.includes('/kad/')), ['/holdfast/kad/1.0.0'])
})
