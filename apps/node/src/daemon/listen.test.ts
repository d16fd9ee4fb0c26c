import { isErrorCode } from '@holdfast/core'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { DRAIN_MS, listen } from './listen.ts'

const HERE = { host: '127.0.0.1', port: 0 }

test('a taken port names the setting and, on Linux, the process that holds it', async () => {
  await using first = await listen({ name: 'gateway', at: HERE, listener: (_request, response) => { response.end() } })
  const second = listen({ name: 'gateway', setting: 'gateway-port', at: { ...HERE, port: first.port }, listener: () => {} })
  await assert.rejects(second, (err) => {
    assert.ok(isErrorCode(err, 'UNAVAILABLE'))
    assert.ok(err.message.includes(`Port ${first.port} of the gateway is taken`) && err.message.includes('--gateway-port'), err.message)
    if (process.platform === 'linux') assert.ok(err.message.includes(`process ${process.pid}`), err.message)
    assert.ok(!err.message.includes('\n'))
    return true
  })
})

test('an address that this machine does not have is UNAVAILABLE', async () => {
  await assert.rejects(listen({ name: 'gateway', at: { host: '192.0.2.1', port: 0 }, listener: () => {} }), (err) => isErrorCode(err, 'UNAVAILABLE'))
})

test('stopping does not wait for a request that never ends', async () => {
  const listening = await listen({ name: 'gateway', at: HERE, listener: (_request, response) => { response.write('begun') } })
  const response = await fetch(`http://127.0.0.1:${listening.port}/`)
  const startedMs = performance.now()
  await listening[Symbol.asyncDispose]()
  assert.ok(performance.now() - startedMs < DRAIN_MS + 1500)
  await assert.rejects(response.text())
})
