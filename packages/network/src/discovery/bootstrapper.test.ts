import { isErrorCode, type LogFields, type Logger } from '@holdfast/core'
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type Socket } from 'node:net'
import { test, type TestContext } from 'node:test'
import { addressOf, newFile, newHost, until } from '../../test/harness.ts'
import { openIdentity } from '../identity.ts'
import { backoffMs } from './backoff.ts'
import { PUBLIC_BOOTSTRAP, parseBootstrap } from './bootstrap-peers.ts'

const SOMEBODY = '12D3KooWRBhwfeP2Y4TCx1SM6s9rUoHhR5STiGwxBhgFRcw3UERE'

const QUICK = { firstMs: 20, maxMs: 40 }

interface Line {
  readonly level: string
  readonly message: string
  readonly fields: LogFields
}

function recorder (): { log: Logger, lines: Line[] } {
  const lines: Line[] = []
  const at = (level: string) => (message: string, fields: LogFields = {}): void => { lines.push({ level, message, fields }) }
  const log: Logger = { error: at('error'), warn: at('warn'), info: at('info'), debug: at('debug'), child: () => log }
  return { log, lines }
}

/** Listens and never says a word: a firewall that drops everything. */
async function blackHole (context: TestContext): Promise<number> {
  const sockets = new Set<Socket>()
  const server = createServer((socket) => { sockets.add(socket.on('error', () => {})) }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  context.after(() => {
    server.close()
    for (const socket of sockets) socket.destroy()
  })
  const address = server.address()
  assert.ok(address !== null && typeof address === 'object')
  return address.port
}

test('a node whose bootstrap peers never answer is up at once', async (context) => {
  const port = await blackHole(context)
  const bootstrap = Array.from({ length: 8 }, (_, index) => `/ip4/127.0.0.${index + 1}/tcp/${index % 2 === 0 ? port : 1}/p2p/${SOMEBODY}`)
  // The first host of a process loads libp2p.
  await newHost(context)
  const startMs = performance.now()
  const host = await newHost(context, { bootstrap })
  assert.ok(host.addresses().length > 0)
  const tookMs = performance.now() - startMs
  assert.ok(tookMs < 1000, `${tookMs} ms`)
})

test('a node that waits for bootstrap peers stops at once', async (context) => {
  const port = await blackHole(context)
  const host = await newHost(context, { bootstrap: [`/ip4/127.0.0.1/tcp/${port}/p2p/${SOMEBODY}`] })
  const startMs = performance.now()
  await host[Symbol.asyncDispose]()
  assert.ok(performance.now() - startMs < 2000)
})

test('nobody reached is one line that names how many were tried', async (context) => {
  const { log, lines } = recorder()
  await newHost(context, { bootstrap: [1, 2, 3].map((last) => `/ip4/127.0.0.${last}/tcp/1/p2p/${SOMEBODY}`), bootstrapRetry: QUICK }, { log })
  // Five more rounds go by in silence.
  await until(() => lines.filter(({ level }) => level === 'debug').length >= 5)
  const loud = lines.filter(({ level }) => level !== 'debug')
  assert.deepEqual(loud.map(({ level, message }) => ({ level, message })), [{ level: 'warn', message: 'No bootstrap peer was reached; this goes on in the background' }])
  assert.equal(loud[0]?.fields['triedCount'], 3)
})

test('a bootstrap peer that comes up later is reached, and one line says so', async (context) => {
  const { log, lines } = recorder()
  const identity = await openIdentity(await newFile(context, 'identity.key'))
  const late = await newHost(context, {}, { identity })
  const address = addressOf(late)
  await late[Symbol.asyncDispose]()
  const host = await newHost(context, { bootstrap: [address], bootstrapRetry: QUICK }, { log })
  await until(() => lines.length > 0)
  assert.deepEqual(host.peers(), [])
  await newHost(context, { listen: [address.split('/p2p/', 1)[0] ?? ''] }, { identity })
  await until(() => host.isConnected(late.peer))
  assert.deepEqual(lines.filter(({ level }) => level !== 'debug').map(({ level, message }) => `${level}: ${message}`), ['warn: No bootstrap peer was reached; this goes on in the background', 'info: A bootstrap peer was reached'])
})

test('a node comes back by itself when it lost its peers', async (context) => {
  const server = await newHost(context)
  const host = await newHost(context, { bootstrap: [addressOf(server)], bootstrapRetry: QUICK })
  await until(() => host.isConnected(server.peer) && server.isConnected(host.peer))
  let lossCount = 0
  using _ = host.watchPeers({ connected () {}, disconnected: () => { lossCount++ } })
  await server.disconnect(host.peer)
  await until(() => lossCount === 1 && host.isConnected(server.peer))
})

test('with enough peers the others are left alone', async (context) => {
  const servers = []
  for (let count = 0; count < 10; count++) servers.push(await newHost(context))
  const host = await newHost(context, { bootstrap: servers.map(addressOf), bootstrapRetry: QUICK })
  await until(() => host.peers().length >= 4)
  await new Promise((resolve) => { setTimeout(resolve, 200) })
  // Four are dialled at a time, so three more may have been on their way when the fourth was there.
  assert.ok(host.peers().length <= 7, `${host.peers().length} peers`)
})

test('without an entry nobody is dialled, not even who is remembered', async (context) => {
  const server = await newHost(context, { dht: 'server' })
  const peerFile = await newFile(context, 'peers.json')
  const options = { dht: 'server', bootstrap: [addressOf(server)] } as const
  const first = await newHost(context, options, { peerFile })
  await until(() => first.peers().some(({ protocols }) => protocols.length > 0))
  await first[Symbol.asyncDispose]()
  const second = await newHost(context, { dht: 'server', bootstrap: [] }, { peerFile })
  await new Promise((resolve) => { setTimeout(resolve, 300) })
  assert.deepEqual(second.peers(), [])
})

test('a node finds its network again when the bootstrap peers are gone', async (context) => {
  const [bootstrap, member] = [await newHost(context, { dht: 'server' }), await newHost(context, { dht: 'server' })]
  const peerFile = await newFile(context, 'peers.json')
  const gone = addressOf(bootstrap)
  const first = await newHost(context, { dht: 'server', bootstrap: [gone] }, { peerFile })
  await first.connect(addressOf(member))
  await until(() => first.peers().length === 2 && first.peers().every(({ protocols }) => protocols.length > 0))
  await first[Symbol.asyncDispose]()
  await bootstrap[Symbol.asyncDispose]()

  const second = await newHost(context, { dht: 'server', bootstrap: [gone] }, { peerFile })
  await until(() => second.isConnected(member.peer))
})

for (const [what, entry, word] of [
  ['is no multiaddr', 'example.com', 'example.com'],
  ['names no peer', '/ip4/127.0.0.1/tcp/4001', '/ip4/127.0.0.1/tcp/4001'],
  ['is a bare peer id', SOMEBODY, '/dnsaddr/'],
  ['has a broken peer id', '/ip4/127.0.0.1/tcp/4001/p2p/12D3', '12D3']
] as const) {
  test(`a bootstrap peer that ${what} is INVALID at the start, and named`, async (context) => {
    await assert.rejects(newHost(context, { bootstrap: [entry] }), (err) => isErrorCode(err, 'INVALID') && err.message.includes('bootstrap') && err.message.includes(word))
  })
}

test('auto stands for the public peers where there are any', () => {
  assert.equal(parseBootstrap(['auto'], { hasPublicPeers: true }).length, PUBLIC_BOOTSTRAP.length)
  assert.deepEqual(parseBootstrap(['auto'], { hasPublicPeers: false }), [])
  const [own] = parseBootstrap([`/dnsaddr/example.com/p2p/${SOMEBODY}`, 'auto'], { hasPublicPeers: true })
  assert.equal(own?.peer, SOMEBODY)
})

test('waits double up to a limit, each moved by at most a quarter', () => {
  const limits = { firstMs: 100, maxMs: 1000 }
  assert.deepEqual([1, 2, 3, 4, 5, 50, 5000].map((count) => backoffMs(count, limits, () => 0.5)), [100, 200, 400, 800, 1000, 1000, 1000])
  assert.deepEqual([backoffMs(1, limits, () => 0), backoffMs(1, limits, () => 1)], [75, 125])
})
