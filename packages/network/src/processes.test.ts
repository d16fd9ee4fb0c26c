import { isErrorCode } from '@holdfast/core'
import assert from 'node:assert/strict'
import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import type { Readable, Writable } from 'node:stream'
import { test, type TestContext } from 'node:test'
import { newHost, readAll, until } from '../test/harness.ts'

const ECHO = '/holdfast/test/echo/1.0.0'

async function startPeer (context: TestContext): Promise<{ address: string, child: ChildProcessByStdio<Writable, Readable, null> }> {
  const child = spawn(process.execPath, [new URL('../test/peer-program.ts', import.meta.url).pathname], { stdio: ['pipe', 'pipe', 'inherit'] })
  context.after(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return
    child.stdin.end()
    await once(child, 'exit')
  })
  const [address]: string[] = await once(createInterface(child.stdout), 'line')
  assert.ok(address !== undefined)
  return { address, child }
}

test('two processes connect and pass 32 MiB to and fro', async (context) => {
  const host = await newHost(context)
  const { address } = await startPeer(context)
  const peer = await host.connect(address)
  await using stream = await host.openStream(peer, [ECHO])
  const sent = Buffer.alloc(32 << 20, 'through the wire')
  const received = readAll(stream.read())
  for (let at = 0; at < sent.byteLength; at += 1 << 20) await stream.write([sent.subarray(at, at + (1 << 20))])
  await stream.closeWrite()
  assert.ok((await received).equals(sent))
})

test('a peer that is killed ends its streams with an error and is gone from the list', async (context) => {
  const host = await newHost(context)
  const { address, child } = await startPeer(context)
  const peer = await host.connect(address)
  await using stream = await host.openStream(peer, [ECHO])
  await stream.write([Buffer.from('hello')])
  child.kill('SIGKILL')
  await assert.rejects(readAll(stream.read()), (err) => isErrorCode(err, 'UNAVAILABLE'))
  await until(() => host.peers().length === 0)
})

test('a peer that ends in order is gone from the list', async (context) => {
  const host = await newHost(context)
  const { address, child } = await startPeer(context)
  await host.connect(address)
  child.stdin.end()
  await once(child, 'exit')
  await until(() => host.peers().length === 0)
})
