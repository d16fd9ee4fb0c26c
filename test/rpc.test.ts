import { parsePrometheus } from '@holdfast/testkit'
import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { readFile, writeFile } from 'node:fs/promises'
import type { IncomingMessage } from 'node:http'
import { request } from 'node:https'
import { join } from 'node:path'
import { test } from 'node:test'
import { create } from 'kubo-rpc-client'
import { base36 } from 'multiformats/bases/base36'
import { base58btc } from 'multiformats/bases/base58'
import { CID } from 'multiformats/cid'
import * as digest from 'multiformats/hashes/digest'
import { holdfast, newFolder, startNode } from './harness.ts'
import { bytesOf, carOverhead, form, HELLO_V1, linesOf, NOWHERE, openRpc } from './rpc-client.ts'

const hasOpenssl = spawnSync('openssl', ['version']).status === 0

test('kubo-rpc-client asks who the node is and what it can do', async (context) => {
  const { node, client } = await openRpc(context)
  const id = await client.id()
  assert.equal(id.id.toString(), node.ready.peerId)
  assert.match(id.agentVersion, /^holdfast\//)
  assert.equal((await client.version()).repo, '2')
  assert.equal(await client.repo.version(), '2')
  const commands = await client.commands() as unknown as { Name: string, Subcommands: Array<{ Name: string, Subcommands: Array<{ Name: string }> }> }
  assert.deepEqual(commands.Subcommands.find(({ Name }) => Name === 'pin')?.Subcommands.map(({ Name }) => Name), ['add', 'ls', 'rm', 'update', 'verify'])
  const [key] = await client.key.list()
  assert.deepEqual(key, { name: 'self', id: CID.createV1(0x72, digest.decode(base58btc.baseDecode(node.ready.peerId))).toString(base36) })
  assert.deepEqual(await linesOf(node, 'key/list?ipns-base=b58mh'), [{ Keys: [{ Name: 'self', Id: node.ready.peerId }] }])
  assert.equal((await fetch(`${node.ready.rpc}/api/v0/key/list?ipns-base=base7`, { method: 'POST' })).status, 400)
  assert.deepEqual(await client.config.get('Discovery.MDNS.Enabled'), false)
  assert.equal(await client.config.get('Identity.PeerID'), node.ready.peerId)
  assert.equal(await client.config.get('Addresses.API'), `/ip4/127.0.0.1/tcp/${new URL(node.ready.rpc).port}`)
  assert.equal((await client.config.getAll() as unknown as { Holdfast: { network: string } }).Holdfast.network, 'off')
  await assert.rejects(client.config.get('No.Such'), /failed to get config value/)
  assert.equal(await client.isOnline(), false)
})

test('answers have the fields and the content types of Kubo', async (context) => {
  const { node, client } = await openRpc(context)
  const entries = await Array.fromAsync(client.addAll([{ path: 'a', content: 'A' }], { wrapWithDirectory: true }))
  const [a, root] = entries.map(({ cid }) => String(cid))
  const { cid: garbage } = await client.add('garbage', { pin: false })
  const car = await bytesOf(client.dag.export(CID.parse(root ?? '')))
  const fields: ReadonlyArray<readonly [path: string, expected: readonly unknown[], body?: FormData]> = [
    ['add?progress=true&pin=false', [{ Name: 'file', Bytes: 1 }, { Name: 'file', Hash: a, Size: '1' }], form('A')],
    [`pin/add?arg=${root}`, [{ Pins: [root] }]],
    [`pin/ls?arg=${root}`, [{ Keys: { [String(root)]: { Type: 'recursive', Name: '' } } }]],
    [`pin/ls?arg=${root}&stream=true`, [{ Cid: root, Type: 'recursive', Name: '' }]],
    [`ls?arg=${root}`, [{ Objects: [{ Hash: root, Links: [{ Name: 'a', Hash: a, Size: 1, Type: 2, Target: '' }] }] }]],
    [`block/stat?arg=${a}`, [{ Key: a, Size: 1 }]],
    ['block/put', [{ Key: a, Size: 1 }], form('A')],
    [`dag/resolve?arg=${root}/a`, [{ Cid: { '/': a }, RemPath: '' }]],
    ['dag/import?stats=true', [{ Root: { Cid: { '/': root }, PinErrorMsg: '' } }, { Stats: { BlockCount: 2, BlockBytesCount: car.byteLength - carOverhead(car) } }], form(new Uint8Array(car))],
    [`resolve?arg=${root}/a`, [{ Path: `/ipfs/${a}` }]],
    ['repo/version', [{ Version: '2' }]],
    ['key/list?ipns-base=b58mh', [{ Keys: [{ Name: 'self', Id: node.ready.peerId }] }]],
    ['swarm/peers', [{ Peers: [] }]],
    ['swarm/addrs/listen', [{ Strings: [] }]],
    ['repo/gc', [{ Key: { '/': garbage.toString() } }]],
    [`pin/rm?arg=${root}`, [{ Pins: [root] }]]
  ]
  for (const [path, expected, body] of fields) assert.deepEqual(await linesOf(node, path, body === undefined ? {} : { body }), expected, path)
  assert.deepEqual(Object.keys((await linesOf(node, 'id'))[0] as object), ['ID', 'PublicKey', 'Addresses', 'AgentVersion', 'Protocols'])
  assert.deepEqual(Object.keys((await linesOf(node, 'version'))[0] as object), ['Version', 'Commit', 'Repo', 'System', 'Golang'])

  await client.add('A')
  const types: ReadonlyArray<readonly [path: string, type: string]> = [[`get?arg=${a}`, 'application/x-tar'], [`get?arg=${a}&compress=true`, 'application/gzip'], [`dag/export?arg=${a}`, 'application/vnd.ipld.car'], [`block/get?arg=${a}`, 'application/vnd.ipld.raw'], [`cat?arg=${a}`, 'text/plain'], ['refs/local', 'application/json']]
  for (const [path, type] of types) {
    const response = await fetch(`${node.ready.rpc}/api/v0/${path}`, { method: 'POST' })
    assert.equal(response.headers.get('content-type'), type, path)
    await response.arrayBuffer()
  }
})

test('a deadline of the client ends the call in the node', async (context) => {
  const { client } = await openRpc(context, ['--network', 'lan'])
  await assert.rejects(bytesOf(client.cat(NOWHERE, { timeout: 300 })), /context deadline exceeded|timed out/i)
})

test('the metrics of a node are well formed, and count what its gateway and its peers do', async (context) => {
  const [first, second] = [await openRpc(context, ['--network', 'lan']), await openRpc(context, ['--network', 'lan'])]
  const loopback = (await second.client.swarm.localAddrs()).map(String).find((address) => address.startsWith('/ip4/127.0.0.1'))
  await first.client.swarm.connect(`${loopback}/p2p/${second.node.ready.peerId}` as never)
  const { cid } = await second.client.add(Buffer.alloc(100_000, 'x'))
  for (const path of [`/ipfs/${cid}`, `/ipfs/${cid}`, `/ipfs/${cid}?format=raw`, '/ipfs/nonsense']) await (await fetch(`${first.node.ready.gateway}${path}`)).arrayBuffer()
  const read = async (): Promise<ReturnType<typeof parsePrometheus>> => parsePrometheus(await (await fetch(`${first.node.ready.rpc}/debug/metrics/prometheus`)).text())
  const valueOf = (families: ReturnType<typeof parsePrometheus>, line: string): number | undefined => families.get(line.replace(/\{.*|_(count|sum)$/, ''))?.values.get(line)
  let families = await read()
  // The last response is closed, and the blocks are counted, a moment later.
  for (let tries = 0; valueOf(families, 'holdfast_gateway_requests_total{format="none",status="4xx"}') !== 1 || !families.has('holdfast_blocks'); tries++) {
    assert.ok(tries < 500, 'the requests are counted')
    await new Promise((resolve) => { setTimeout(resolve, 10) })
    families = await read()
  }
  const figures: ReadonlyArray<readonly [line: string, value: number]> = [
    ['holdfast_gateway_requests_total{format="default",status="2xx"}', 2],
    ['holdfast_gateway_requests_total{format="raw",status="2xx"}', 1],
    ['holdfast_gateway_sent_bytes_total{format="default"}', 200_000],
    ['holdfast_gateway_open_requests', 0],
    ['holdfast_gateway_header_duration_seconds_count', 4],
    ['holdfast_gateway_cache_lookups_total{cache="targets",result="hit"}', 1],
    ['holdfast_peers{direction="outbound"}', 1],
    ['holdfast_bitswap_received_blocks_total', 1],
    ['holdfast_bitswap_received_bytes_total', 100_000],
    ['holdfast_cache_blocks', 1]
  ]
  for (const [line, value] of figures) assert.equal(valueOf(families, line), value, line)
  for (const name of families.keys()) assert.match(name, /^(holdfast|process|nodejs)_/)
})

test('an RPC that others can reach needs TLS and a token, else the node does not start and says why', async (context) => {
  const repository = join(await newFolder(context), 'repository')
  assert.equal((await holdfast(['init', '--path', repository])).status, 0)
  await writeFile(join(repository, 'config.json'), '{"rpcHost": "0.0.0.0"}')
  const { status, stdout, stderr } = await holdfast(['start', '--json', '--path', repository, '--network', 'off', '--rpc-port', '0', '--gateway-port', '0'])
  assert.deepEqual([status, stdout], [2, ''])
  assert.match(stderr, /^Error: The RPC does not listen on 0\.0\.0\.0 without a certificate \(rpcTlsCert and rpcTlsKey\) and a token \(rpcTokens\): whoever reaches it controls the node\. .*\n$/)
})

test('a node with a token is called with it, and by nobody else; its secret is not shown', async (context) => {
  const repository = join(await newFolder(context), 'repository')
  assert.equal((await holdfast(['init', '--path', repository])).status, 0)
  await writeFile(join(repository, 'config.json'), JSON.stringify({ rpcTokens: { ci: { secret: 'bearer:a-token-of-some-length', allowedPaths: ['/api/v0'] } } }))
  const node = await startNode(context, { repository })
  await assert.rejects(create({ url: node.ready.rpc }).id(), /RPC Access Denied/)
  const client = create({ url: node.ready.rpc, headers: { authorization: 'Bearer a-token-of-some-length' } })
  assert.equal((await client.id()).id.toString(), node.ready.peerId)
  assert.ok(!JSON.stringify(await client.config.getAll()).includes('a-token-of-some-length'))
  assert.ok(!(await node.ok(['config', 'show'])).includes('a-token-of-some-length'))
  assert.equal((await fetch(`${node.ready.rpc}/readyz`)).status, 200)
})

test('a node with a certificate and a token speaks TLS to whoever may reach it', { skip: !hasOpenssl && 'certificates are made with openssl' }, async (context) => {
  const folder = await newFolder(context)
  const [cert, key] = [join(folder, 'cert.pem'), join(folder, 'key.pem')]
  execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2', '-subj', '/CN=node.example', '-addext', 'subjectAltName=DNS:node.example', '-keyout', key, '-out', cert], { stdio: 'ignore' })
  const repository = join(folder, 'repository')
  assert.equal((await holdfast(['init', '--path', repository])).status, 0)
  await writeFile(join(repository, 'config.json'), JSON.stringify({ rpcHost: '0.0.0.0', rpcTlsCert: cert, rpcTlsKey: key, rpcTokens: { ci: { secret: 'bearer:a-token-of-some-length', allowedPaths: ['/api/v0'] } } }))
  const node = await startNode(context, { repository })
  assert.match(node.ready.rpc, /^https:\/\/0\.0\.0\.0:\d+$/)
  const statusOf = async (headers: Readonly<Record<string, string>>): Promise<number | undefined> => {
    const sent = request({ host: '127.0.0.1', port: new URL(node.ready.rpc).port, servername: 'node.example', ca: await readFile(cert), agent: false, method: 'POST', path: '/api/v0/id', headers: { host: 'node.example', ...headers } }).end()
    const [response] = await once(sent, 'response') as [IncomingMessage]
    response.resume()
    return response.statusCode
  }
  const authorization = 'Bearer a-token-of-some-length'
  assert.equal(await statusOf({ authorization }), 200)
  assert.equal(await statusOf({}), 403)
  assert.equal(await statusOf({ authorization, host: 'other.example' }), 403)
  await assert.rejects(fetch(node.ready.rpc.replace('https', 'http').replace('0.0.0.0', '127.0.0.1')))
})

test('what happens in the node can be followed, whoever causes it', async (context) => {
  const { node, client } = await openRpc(context)
  const leaving = new AbortController()
  const response = await fetch(`${node.ready.rpc}/api/v0/events`, { method: 'POST', signal: leaving.signal })
  const cid = await node.ok(['add', '-Q'], { stdin: 'hello world' })
  await node.ok(['pin', 'rm', cid])
  await Array.fromAsync(client.repo.gc())
  let text = ''
  for await (const bytes of response.body ?? []) {
    text += Buffer.from(bytes).toString()
    if (text.split('\n').length > 4) break
  }
  leaving.abort()
  const events = text.trim().split('\n').map((line) => JSON.parse(line) as { type: string, cid?: string })
  assert.deepEqual(events.map(({ type, cid }) => [type, cid]), [['added', HELLO_V1], ['pinned', HELLO_V1], ['unpinned', HELLO_V1], ['collected', undefined]])
})

test('the client stops the node, also while somebody listens', async (context) => {
  const { node, client } = await openRpc(context)
  const events = await fetch(`${node.ready.rpc}/api/v0/events`, { method: 'POST' })
  await client.stop()
  assert.equal(await events.text(), '')
  const deadlineMs = performance.now() + 60_000
  while (node.process.exitCode === null) {
    assert.ok(performance.now() < deadlineMs, 'the node ends')
    await new Promise((resolve) => { setTimeout(resolve, 10) })
  }
  // A node that is held up ends all the same, after a while, with another status.
  assert.equal(node.process.exitCode, 0)
})
