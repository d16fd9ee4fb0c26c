import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import { createRpcTokens } from './rpc-tokens.ts'

const ALL = ['/api/v0']
const basic = (text: string): string => `Basic ${Buffer.from(text).toString('base64')}`

test('a secret in each of its forms opens what it should, by the header that clients send for it', () => {
  const cases: ReadonlyArray<readonly [secret: string, header: string]> = [
    ['bearer:some-long-token-1', 'Bearer some-long-token-1'],
    ['some-long-token-1', 'bearer some-long-token-1'],
    ['basic:user:pass:word', basic('user:pass:word')],
    [`basic:${Buffer.from('user:pass').toString('base64')}`, basic('user:pass')],
    [`sha256:${createHash('sha256').update('some-long-token-1').digest('hex')}`, 'Bearer some-long-token-1']
  ]
  for (const [secret, header] of cases) {
    const tokens = createRpcTokens([{ secret: 'bearer:of-somebody-else', allowedPaths: ALL }, { secret, allowedPaths: ALL }])
    assert.ok(tokens.opens(header, '/api/v0/id'), secret)
    for (const wrong of [undefined, '', 'Bearer', 'Bearer ', `${header}x`, header.slice(0, -1), header.replace(/^\w+/, 'Digest'), basic('user:other'), ...(secret.includes(':') ? [`Bearer ${secret}`] : [])]) {
      assert.ok(!tokens.opens(wrong, '/api/v0/id'), `${secret} ${wrong}`)
    }
  }
})

test('a basic secret is no bearer token and the other way round', () => {
  const value = Buffer.from('user:pass').toString('base64')
  assert.ok(!createRpcTokens([{ secret: `basic:${value}`, allowedPaths: ALL }]).opens(`Bearer ${value}`, '/api/v0/id'))
  assert.ok(!createRpcTokens([{ secret: `bearer:${value}`, allowedPaths: ALL }]).opens(`Basic ${value}`, '/api/v0/id'))
})

test('paths are matched by whole segments, and the version is always open', () => {
  const tokens = createRpcTokens([{ secret: 'bearer:pins', allowedPaths: ['/api/v0/pin', '/api/v0/repo/stat/'] }, { secret: 'bearer:all', allowedPaths: ['/'] }])
  for (const path of ['/api/v0/pin', '/api/v0/pin/ls', '/api/v0/repo/stat', '/api/v0/version']) assert.ok(tokens.opens('Bearer pins', path), path)
  for (const path of ['/api/v0/pinning', '/api/v0/repo/state', '/api/v0/repo', '/api/v0/id', '/api/v0', '/debug/metrics/prometheus', '']) assert.ok(!tokens.opens('Bearer pins', path), path)
  assert.ok(tokens.opens('Bearer all', '/debug/metrics/prometheus'))
  assert.ok(!tokens.opens('Bearer nobody', '/api/v0/version'))
})
