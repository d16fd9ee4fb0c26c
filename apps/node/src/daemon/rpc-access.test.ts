import { isErrorCode, silentLogger } from '@holdfast/core'
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { request } from 'node:https'
import type { IncomingMessage } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { DEFAULT_CONFIG } from '../config.ts'
import { listen } from './listen.ts'
import { openRpcAccess } from './rpc-access.ts'

/** For node.example and 127.0.0.1, signed by itself, good for a hundred years. Made for this test with openssl; it guards nothing. */
const CERTIFICATE = `-----BEGIN CERTIFICATE-----
MIIBozCCAUqgAwIBAgIURttnXz1YuTU73eAsaiAJwSES5bUwCgYIKoZIzj0EAwIw
FzEVMBMGA1UEAwwMbm9kZS5leGFtcGxlMCAXDTI2MTEyMTE2MjQ0M1oYDzIxMjYx
MDI4MTYyNDQzWjAXMRUwEwYDVQQDDAxub2RlLmV4YW1wbGUwWTATBgcqhkjOPQIB
BggqhkjOPQMBBwNCAAROV9n/ioOAVkHK0alIlWgJJe7wtOFAXijtLtqk0yZpeaxY
W9ZoTt/dHhVycr3x4cBP7gOPfhw0dXMaZussA/Nqo3IwcDAdBgNVHQ4EFgQUXqgj
F+B0PgFvEZg3fxk9fsWU5iIwHwYDVR0jBBgwFoAUXqgjF+B0PgFvEZg3fxk9fsWU
5iIwDwYDVR0TAQH/BAUwAwEB/zAdBgNVHREEFjAUggxub2RlLmV4YW1wbGWHBH8A
AAEwCgYIKoZIzj0EAwIDRwAwRAIgLapu7VUdTUp/WuUIRlbAsJBHOPDaPJGK95g5
0v5lPvoCIEZZiM6Dx39Bnb8UlwKgy96l/FagEC1BXBS/D4ZaGQzz
-----END CERTIFICATE-----
`

const KEY = `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg/srOPe10KdWgfTHL
spEPRJnW2wnAudk1fk0q/QaUv72hRANCAAROV9n/ioOAVkHK0alIlWgJJe7wtOFA
XijtLtqk0yZpeaxYW9ZoTt/dHhVycr3x4cBP7gOPfhw0dXMaZussA/Nq
-----END PRIVATE KEY-----
`

const TOKENS = { ci: { secret: 'bearer:a-token-of-some-length', allowedPaths: ['/api/v0'] } }

async function pemFiles (context: TestContext, { cert = CERTIFICATE, key = KEY } = {}): Promise<{ rpcTlsCert: string, rpcTlsKey: string }> {
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-'))
  context.after(async () => { await rm(folder, { recursive: true }) })
  const files = { rpcTlsCert: join(folder, 'cert.pem'), rpcTlsKey: join(folder, 'key.pem') }
  await writeFile(files.rpcTlsCert, cert)
  await writeFile(files.rpcTlsKey, key)
  return files
}

test('on loopback nothing is needed, elsewhere both a certificate and a token', async (context) => {
  const tls = await pemFiles(context)
  for (const rpcHost of ['127.0.0.1', '127.1.2.3', '::1']) await openRpcAccess({ ...DEFAULT_CONFIG, rpcHost }, silentLogger)
  for (const rpcHost of ['0.0.0.0', '::', '192.168.1.5', '128.0.0.1']) {
    for (const [settings, words] of [[{}, /without a certificate .* and a token/], [tls, /without a token/], [{ rpcTokens: TOKENS }, /without a certificate/]] as const) {
      await assert.rejects(openRpcAccess({ ...DEFAULT_CONFIG, rpcHost, ...settings }, silentLogger), (err) => isErrorCode(err, 'INVALID') && words.test(err.message), rpcHost)
    }
    assert.ok((await openRpcAccess({ ...DEFAULT_CONFIG, rpcHost, ...tls, rpcTokens: TOKENS }, silentLogger)).tls !== undefined)
  }
})

test('a certificate that cannot be used is refused before anything listens', async (context) => {
  const good = await pemFiles(context)
  const bad = await pemFiles(context, { cert: 'no certificate' })
  for (const settings of [bad, { ...good, rpcTlsKey: '' }, { ...good, rpcTlsKey: '/nonexistent/key.pem' }, { ...good, rpcTlsKey: good.rpcTlsCert }]) {
    await assert.rejects(openRpcAccess({ ...DEFAULT_CONFIG, ...settings }, silentLogger), (err) => isErrorCode(err, 'INVALID'), JSON.stringify(settings))
  }
})

test('the names of the certificate are the names of the node, and it is shown to who connects', async (context) => {
  const access = await openRpcAccess({ ...DEFAULT_CONFIG, ...await pemFiles(context) }, silentLogger)
  assert.deepEqual(['node.example', '127.0.0.1', 'other.example', 'example', ''].map((name) => access.isOwnName(name)), [true, true, false, false, false])
  await using listening = await listen({ name: 'RPC', at: { host: '127.0.0.1', port: 0 }, listener: (_, response) => { response.end('safe') }, tls: access.tls })
  const sent = request({ host: '127.0.0.1', port: listening.port, servername: 'node.example', ca: CERTIFICATE, agent: false }).end()
  const [response] = await once(sent, 'response') as [IncomingMessage]
  assert.equal(Buffer.concat(await Array.fromAsync(response)).toString(), 'safe')
})

test('names that are allowed are names of the node', async () => {
  const access = await openRpcAccess({ ...DEFAULT_CONFIG, rpcAllowedHosts: ['node.example', '[fd00::5]'] }, silentLogger)
  assert.deepEqual(['node.example', '[fd00::5]', 'fd00::5', 'other.example'].map((name) => access.isOwnName(name)), [true, true, false, false])
})

test('a node that every web page may control says so, unless a token is needed', async () => {
  const warnings: string[] = []
  const log = { ...silentLogger, warn: (message: string) => { warnings.push(message) } }
  await openRpcAccess({ ...DEFAULT_CONFIG, rpcAllowedOrigins: ['https://webui.example'] }, log)
  await openRpcAccess({ ...DEFAULT_CONFIG, rpcAllowedOrigins: ['*'], rpcTokens: TOKENS }, log)
  assert.deepEqual(warnings, [])
  assert.deepEqual((await openRpcAccess({ ...DEFAULT_CONFIG, rpcAllowedOrigins: ['*'] }, log)).allowedOrigins, ['*'])
  assert.match(warnings.join(), /Every web page .* can control this node/)
})
