import { isErrorCode } from '@holdfast/core'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CONFIG_KEYS, type ConfigLayer, DEFAULT_CONFIG, parseConfig, parseConfigFile, parseList, parseSetting, settingText } from './config.ts'

function layer (values: Record<string, unknown>, source = 'test'): ConfigLayer {
  return { values, sourceOf: (key) => `${source} ${key}` }
}

test('without layers every setting is its default and says so', () => {
  const { config, settings } = parseConfig([])
  assert.deepEqual(config, DEFAULT_CONFIG)
  assert.deepEqual(settings.map(({ key }) => key), CONFIG_KEYS)
  assert.deepEqual([config.network, config.bootstrap], ['public', ['auto']])
  assert.ok(settings.every(({ source }) => source === 'default'))
})

test('a later layer wins and is named as the source', () => {
  const { config, settings } = parseConfig([layer({ gatewayPort: 1, network: 'lan' }, 'file'), layer({ gatewayPort: 2 }, 'flag')])
  assert.equal(config.gatewayPort, 2)
  assert.equal(config.network, 'lan')
  assert.equal(settings.find(({ key }) => key === 'gatewayPort')?.source, 'flag gatewayPort')
  assert.equal(settings.find(({ key }) => key === 'network')?.source, 'file network')
})

test('every mistake is reported at once, each with its source', () => {
  const layers = [layer({ gatewayPort: '8080', colour: 'red', network: 'internet' }, 'file'), layer({ swarmPort: 70_000, rpcPort: 1.5, gatewayHost: 'localhost' }, 'flag')]
  assert.throws(() => parseConfig(layers), (err) => {
    assert.ok(isErrorCode(err, 'INVALID'))
    assert.equal((err.details.mistakes as string[]).length, 6)
    for (const word of ['gatewayPort must be a number', 'colour is no setting', 'network must be public', 'swarmPort must be 65535', 'rpcPort must be a whole', 'gatewayHost must be an IP', 'file colour', 'flag swarmPort']) {
      assert.ok(err.message.includes(word), `${word} in ${err.message}`)
    }
    return true
  })
})

test('names of Object.prototype are no settings', () => {
  assert.throws(() => parseConfig([layer(JSON.parse('{"__proto__": 1, "constructor": 2}') as Record<string, unknown>)]), (err) => isErrorCode(err, 'INVALID'))
})

for (const text of ['', '{', '[]', 'null', '7', '"x"']) {
  test(`a config file of ${JSON.stringify(text)} is INVALID and names the file`, () => {
    assert.throws(() => parseConfigFile(text, 'config.json'), (err) => isErrorCode(err, 'INVALID') && err.message.includes('config.json'))
  })
}

test('settings from the command line become numbers where they are', () => {
  assert.deepEqual(parseSetting('gatewayPort', '0'), { key: 'gatewayPort', value: 0 })
  assert.deepEqual(parseSetting('logLevel', 'debug'), { key: 'logLevel', value: 'debug' })
  for (const [text, value] of [['10GiB', 10 * 1024 ** 3], ['500MB', 500_000_000], ['0', 0], ['4096', 4096], ['1 KiB', 1024]] as const) {
    assert.deepEqual(parseSetting('cacheMaxBytes', text), { key: 'cacheMaxBytes', value })
  }
  for (const [key, text] of [['cacheMaxBytes', '-1'], ['cacheMaxBytes', '10 elephants'], ['cacheMaxBytes', '9999999999999999TiB'], ['cacheMaxBytes', '1constructor'], ['gatewayPort', '1KiB'], ['gatewayPort', 'x'], ['gatewayPort', '-1'], ['network', 'moon'], ['nothing', '1']] as const) {
    assert.throws(() => parseSetting(key, text), (err) => isErrorCode(err, 'INVALID'), `${key}=${text}`)
  }
})

test('settings of members are read with their units, and refused when they cannot be', () => {
  for (const [key, text, value] of [['storageMaxBytes', 'auto', 'auto'], ['storageMaxBytes', '500GB', 500e9], ['repairBytesPerSecond', '10MiB', 10 * 2 ** 20], ['repairGrace', '2h', '2h'], ['zone', 'cellar', 'cellar']] as const) {
    assert.deepEqual(parseSetting(key, text), { key, value })
  }
  for (const [key, text] of [['storageMaxBytes', '-1'], ['storageMaxBytes', 'all'], ['repairBytesPerSecond', 'fast'], ['repairGrace', '999ms'], ['repairGrace', '30'], ['repairGrace', '30 years'], ['repairGrace', ''], ['zone', 'ü'.repeat(33)], ['memberName', 'x'.repeat(65)]] as const) {
    assert.throws(() => parseSetting(key, text), (err) => isErrorCode(err, 'INVALID'), `${key}=${text}`)
  }
})

test('tokens are checked, and neither shown nor repeated in a message', () => {
  const secret = 'bearer:do-not-show-me-to-anybody'
  const layer = (rpcTokens: unknown): ConfigLayer => ({ values: { rpcTokens }, sourceOf: () => 'config.json' })
  const { config, settings } = parseConfig([layer({ ci: { secret, allowedPaths: ['/api/v0'] }, me: { secret, allowedPaths: ['/'] } })])
  assert.equal(config.rpcTokens.ci?.secret, secret)
  assert.deepEqual(settings.find(({ key }) => key === 'rpcTokens')?.value, ['ci', 'me'])
  for (const wrong of [secret, [secret], { ci: secret }, { ci: { secret } }, { ci: { secret: 'short', allowedPaths: ['/'] } }, { ci: { secret, allowedPaths: [] } }, { ci: { secret, allowedPaths: ['api'] } }, { ci: { secret: 'sha256:12', allowedPaths: ['/'] } }, { ci: { secret, allowedPaths: ['/'], more: 1 } }]) {
    assert.throws(() => parseConfig([layer(wrong)]), (err) => {
      assert.ok(isErrorCode(err, 'INVALID'))
      assert.ok(err.message.includes('rpcTokens must') && !err.message.includes('do-not-show'), err.message)
      return true
    }, JSON.stringify(wrong))
  }
  assert.throws(() => parseSetting('rpcTokens', '{}'), (err) => isErrorCode(err, 'INVALID'))
})

test('further origins and hosts of the RPC are written as browsers write them', () => {
  for (const [key, text, value] of [
    ['rpcAllowedOrigins', 'https://webui.example,http://localhost:3000,http://[::1]:8081', ['https://webui.example', 'http://localhost:3000', 'http://[::1]:8081']],
    ['rpcAllowedOrigins', 'chrome-extension://abcdefghijklmnopabcdefghijklmnop', ['chrome-extension://abcdefghijklmnopabcdefghijklmnop']],
    ['rpcAllowedOrigins', '*', ['*']],
    ['rpcAllowedOrigins', 'none', []],
    ['rpcAllowedHosts', 'node.example,192.0.2.7,[fd00::5]', ['node.example', '192.0.2.7', '[fd00::5]']]
  ] as const) assert.deepEqual(parseSetting(key, text), { key, value })
  const refused: ReadonlyArray<readonly [key: string, values: readonly string[]]> = [
    ['rpcAllowedOrigins', ['webui.example', 'https://webui.example/', 'https://webui.example/path', 'https://WEBUI.example', 'https://webui.example:443', 'http://webui.example:80', 'https://*.example', 'https://u@webui.example', 'https://webui.example:', 'http://localhost:99999', 'null', '', 'https://']],
    ['rpcAllowedHosts', ['*', 'node.example:5001', 'http://node.example', 'Node.example', '-', 'a b', '', '.example']]
  ]
  for (const [key, values] of refused) for (const value of values) assert.throws(() => parseSetting(key, JSON.stringify([value])), (err) => isErrorCode(err, 'INVALID') && err.message.includes(`${key} must`), value)
})

const PEER = '/dnsaddr/example.com/p2p/12D3KooWRBhwfeP2Y4TCx1SM6s9rUoHhR5STiGwxBhgFRcw3UERE'

for (const [text, value] of [
  ['none', []],
  ['[]', []],
  ['auto', ['auto']],
  [`${PEER}, auto`, [PEER, 'auto']],
  [JSON.stringify([PEER]), [PEER]]
] as const) {
  test(`${text} is a list of ${value.length}, and is printed so that it can be read again`, () => {
    assert.deepEqual(parseSetting('bootstrap', text), { key: 'bootstrap', value })
    assert.deepEqual(parseList(settingText(value)), value)
  })
}

for (const text of ['', 'example.com', `${PEER},`, '[1]', '["x"]', '[', '[[]]', Array.from({ length: 65 }, () => PEER).join()]) {
  test(`${text.slice(0, 20)} is no list of multiaddrs`, () => {
    assert.throws(() => parseSetting('bootstrap', text), (err) => isErrorCode(err, 'INVALID') && err.message.includes('bootstrap must'))
  })
}

test('a switch is on or off', () => {
  for (const key of ['mdns', 'upnp', 'relayClient', 'autonat', 'holePunching']) {
    assert.deepEqual(parseSetting(key, 'off'), { key, value: 'off' })
    assert.throws(() => parseSetting(key, 'true'), (err) => isErrorCode(err, 'INVALID') && err.message.includes('on or off'))
  }
})
