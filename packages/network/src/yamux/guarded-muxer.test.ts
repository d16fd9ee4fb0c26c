import type { Libp2p, Stream } from '@libp2p/interface'
import { tcp } from '@libp2p/tcp'
import { tls } from '@libp2p/tls'
import { createLibp2p } from 'libp2p'
import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { until } from '../../test/harness.ts'
import { muxers } from '../muxers.ts'
import { quietLogger } from '../quiet-logger.ts'

const PROTOCOL = '/holdfast/test/short/1.0.0'

async function newNode (context: TestContext): Promise<Libp2p> {
  const node = await createLibp2p({ addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] }, logger: quietLogger, transports: [tcp()], connectionEncrypters: [tls()], streamMuxers: muxers(), connectionMonitor: { enabled: false } })
  context.after(async () => { await node.stop() })
  return node
}

setFlagsFromString('--expose-gc')
const collect: unknown = runInNewContext('gc')

test('streams that have ended are let go of while their connection goes on, at both ends', async (context) => {
  const [client, server] = [await newNode(context), await newNode(context)]
  const seen: Array<WeakRef<Stream>> = []
  await server.handle(PROTOCOL, (stream) => {
    seen.push(new WeakRef(stream))
    stream.addEventListener('remoteCloseWrite', () => { void stream.close() })
  })
  const connection = await client.dial(server.getMultiaddrs())
  async function openAndClose (): Promise<void> {
    const stream = await connection.newStream(PROTOCOL)
    seen.push(new WeakRef(stream))
    const { promise, resolve } = Promise.withResolvers<void>()
    stream.addEventListener('close', () => { resolve() })
    await stream.close()
    await promise
  }
  for (let count = 0; count < 5; count++) await openAndClose()
  await until(() => seen.length === 10 && connection.streams.length === 0)

  assert.ok(typeof collect === 'function')
  await until(() => {
    collect()
    return seen.every((stream) => stream.deref() === undefined)
  })
  assert.equal(connection.status, 'open')
})
