/** What the libraries offer and we must not use: each of these was seen to break something. The list with its reasons is in docs/dependencies.md. */
import { multiaddr } from '@multiformats/multiaddr'
import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { kadNetworks, LAN_KAD, WAN_KAD } from './dht/kad-networks.ts'
import { ByteLedger } from './limits/byte-ledger.ts'
import { ConnectionMeters } from './limits/connection-meters.ts'
import { TrafficBook } from './traffic.ts'

const SOURCES = readdirSync(import.meta.dirname, { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.ts') && !name.endsWith('.test.ts'))
  .map((name) => ({ name, code: codeOf(readFileSync(join(import.meta.dirname, name), 'utf8')) }))

/** The text without its comments, which may name what the code must not. */
function codeOf (text: string): string {
  return text.replaceAll(/\/\*[^]*?\*\/|^\s*\/\/.*$/gm, '')
}

for (const [what, pattern] of Object.entries({
  'the drain promise of a stream, which works once': /\.onDrain\(/,
  'the middleware of libp2p, which adds each handler to its list for good': /\bnode\.use\(|registrar\.use\(/,
  'pause and resume of a stream, which grant a second window': /(?:stream|inner)\.(?:pause|resume)\(/i,
  'the iterator of a stream, which ends cleanly when the connection is lost': /for await \([^)]* of (?:this\.#)?(?:stream|inner)\)/i,
  'AbortSignal.any, which leaks on a signal that lives long': /AbortSignal\.any\(/,
  'a scan of the whole peer store': /peerStore\.all\(/,
  'the provider options of the DHT, which it never reads': /\bproviders: \{ (?:cacheSize|cleanupInterval|provideValidity)/
})) {
  test(`no source uses ${what}`, () => {
    assert.ok(SOURCES.length > 20)
    assert.deepEqual(SOURCES.filter(({ code }) => pattern.test(code)).map(({ name }) => name), [])
  })
}

test('trap 16: private addresses never come into the public DHT, nor public ones into that of the LAN', () => {
  const traffic = new TrafficBook()
  const ledger = new ByteLedger(() => {})
  const networks = kadNetworks({ traffic, ledger, meters: new ConnectionMeters(ledger, traffic) }, { mode: 'public', dht: 'auto', hasSwarmKey: false })
  const addresses = ['/ip4/8.8.8.8/tcp/1', '/ip4/192.168.1.2/tcp/1', '/ip4/127.0.0.1/tcp/1'].map((address) => multiaddr(address))
  assert.deepEqual(networks.map(({ protocol, inScope }) => [protocol, inScope(addresses).map(String)]), [
    [WAN_KAD, ['/ip4/8.8.8.8/tcp/1']],
    [LAN_KAD, ['/ip4/192.168.1.2/tcp/1', '/ip4/127.0.0.1/tcp/1']]
  ])
})
