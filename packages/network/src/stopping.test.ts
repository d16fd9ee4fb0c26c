import assert from 'node:assert/strict'
import { createHook } from 'node:async_hooks'
import { test } from 'node:test'
import { addressOf, newHost, until } from '../test/harness.ts'

/** A process that ends this many ms late is not noticed. */
const UNNOTICED_MS = 500

/** Watches the timers of this process: those that will keep it alive for longer than nobody notices. */
function watchTimers (): { readonly long: () => number[] } & Disposable {
  const timers = new Map<number, object>()
  const hook = createHook({
    init (id, type, _trigger, resource) { if (type === 'Timeout') timers.set(id, resource) },
    destroy (id) { timers.delete(id) }
  }).enable()
  return {
    long: () => [...timers.values()].flatMap((timer) => 'hasRef' in timer && typeof timer.hasRef === 'function' && timer.hasRef() === true && '_idleTimeout' in timer && typeof timer._idleTimeout === 'number' ? [timer._idleTimeout] : []).filter((ms) => ms > UNNOTICED_MS),
    [Symbol.dispose]: () => { hook.disable() }
  }
}

test('a host that was disposed leaves no timer that keeps its process alive', async (context) => {
  using timers = watchTimers()
  const [client, server] = [await newHost(context), await newHost(context)]
  await client.connect(addressOf(server))
  await until(() => server.isConnected(client.peer))
  await client[Symbol.asyncDispose]()
  await server[Symbol.asyncDispose]()
  // Timers are told to be gone a turn of the event loop later.
  await new Promise((resolve) => { setImmediate(resolve) })
  assert.deepEqual(timers.long(), [])
})
