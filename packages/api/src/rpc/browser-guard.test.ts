import { isErrorCode } from '@holdfast/core'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createBrowserGuard } from './browser-guard.ts'

const guard = createBrowserGuard({ port: () => 5001 })
const MOZILLA = 'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36'
const COMPANION = 'chrome-extension://nibjojkomfdiaoajekhjakgkdhaomnch'

function isAdmitted (headers: Readonly<Record<string, string>>, method: string = 'POST'): boolean {
  try {
    guard.admit(method, { host: '127.0.0.1:5001', ...headers })
    return true
  } catch (err) {
    assert.ok(isErrorCode(err, 'INVALID'))
    assert.equal((err.details.refusal as { status: number }).status, 403)
    return false
  }
}

test('programs come in, and pages of our own origins', () => {
  const allowed: ReadonlyArray<Readonly<Record<string, string>>> = [
    {},
    { 'user-agent': 'curl/8' },
    { origin: 'http://127.0.0.1:5001', 'user-agent': MOZILLA },
    { origin: 'https://localhost:5001' },
    { origin: 'http://[::1]:5001', referer: 'http://[::1]:5001/webui/#/files' },
    { referer: 'http://localhost:5001/' },
    { origin: COMPANION, referer: `${COMPANION}/popup.html` },
    { 'user-agent': `${MOZILLA} Electron/30` }
  ]
  for (const headers of allowed) assert.ok(isAdmitted(headers), JSON.stringify(headers))
})

test('pages of any other origin do not', () => {
  const refused: ReadonlyArray<Readonly<Record<string, string>>> = [
    { origin: 'https://evil.example' },
    { origin: 'null' },
    { origin: 'http://127.0.0.1:8080' }, // content that our own gateway shows
    { origin: 'http://localhost:3000' },
    { origin: 'http://localhost' },
    { origin: 'http://localhost:5001.evil.example' },
    { origin: 'http://127.0.0.1:5001/' },
    { origin: 'HTTP://LOCALHOST:5001' },
    { origin: 'chrome-extension://abcdefghijklmnopabcdefghijklmnop' },
    { referer: 'https://evil.example/page' },
    { referer: 'http://localhost:5001@evil.example/' },
    { referer: 'nonsense' },
    { origin: 'http://127.0.0.1:5001', referer: 'https://evil.example/' },
    { 'user-agent': MOZILLA } // a browser that was told to name nobody
  ]
  for (const headers of refused) assert.ok(!isAdmitted(headers), JSON.stringify(headers))
})

test('a browser that hides its page and says that it is another one is refused for reading too', () => {
  for (const method of ['GET', 'POST', 'OPTIONS']) {
    for (const site of ['cross-site', 'same-site']) assert.ok(!isAdmitted({ 'sec-fetch-site': site }, method), `${method} ${site}`)
  }
  assert.ok(isAdmitted({ 'sec-fetch-site': 'none', 'user-agent': MOZILLA }, 'GET'), 'typed into the address bar')
  assert.ok(isAdmitted({ 'sec-fetch-site': 'cross-site', origin: COMPANION }))
})

test('a name that somebody pointed at this machine is refused, whatever the port', () => {
  for (const host of ['evil.example', 'evil.example:5001', '127.0.0.1.evil.example', 'localhost.evil.example:5001', '127.0.0.2:5001', '0.0.0.0:5001', '', 'localhost:5001:1', 'local host', '[::1', '169.254.1.1']) {
    assert.ok(!isAdmitted({ host }), host)
  }
  for (const host of ['localhost:5001', 'LocalHost', '[::1]:5001', '127.0.0.1:15001']) assert.ok(isAdmitted({ host }), host)
})

test('the names of a certificate are ours too', () => {
  const named = createBrowserGuard({ port: () => 5001, isOwnName: (name) => name === 'node.example' })
  named.admit('POST', { host: 'node.example:5001' })
  assert.throws(() => { named.admit('POST', { host: 'other.example:5001' }) })
})

test('only allowed origins are told that they may read, and may come after a preflight', () => {
  assert.deepEqual(guard.corsHeaders({ origin: COMPANION }), { vary: 'Origin', 'access-control-allow-origin': COMPANION })
  assert.deepEqual(guard.corsHeaders({ origin: 'https://evil.example' }), { vary: 'Origin' })
  assert.equal(guard.preflightHeaders({ origin: COMPANION })['access-control-allow-methods'], 'POST')
  assert.equal(guard.preflightHeaders({ origin: 'https://evil.example' })['access-control-allow-methods'], undefined)
})

test('origins that the user allowed come in, read and preflight, and no others', () => {
  const open = createBrowserGuard({ port: () => 5001, allowedOrigins: ['https://webui.example', 'http://localhost:3000'] })
  for (const origin of ['https://webui.example', 'http://localhost:3000', COMPANION]) {
    open.admit('POST', { host: 'localhost:5001', origin, referer: `${origin}/page`, 'user-agent': MOZILLA, 'sec-fetch-site': 'cross-site' })
    assert.equal(open.corsHeaders({ origin })['access-control-allow-origin'], origin)
    assert.equal(open.preflightHeaders({ origin, 'access-control-request-private-network': 'true' })['access-control-allow-private-network'], 'true')
  }
  for (const origin of ['http://webui.example', 'https://webui.example:8443', 'https://webui.example.evil.example', 'http://localhost:3001', 'null']) {
    assert.throws(() => { open.admit('POST', { host: 'localhost:5001', origin }) }, origin)
    assert.deepEqual(open.corsHeaders({ origin }), { vary: 'Origin' })
    assert.deepEqual(open.preflightHeaders({ origin, 'access-control-request-private-network': 'true' }), { vary: 'Origin', allow: 'OPTIONS, POST' })
  }
  assert.throws(() => { open.admit('POST', { host: 'webui.example:5001', origin: 'https://webui.example' }) }, 'an origin is no name of the node')
})

test('a star opens the RPC to every page, but not to every name', () => {
  const open = createBrowserGuard({ port: () => 5001, allowedOrigins: ['*'] })
  open.admit('POST', { host: 'localhost:5001', origin: 'https://any.example', referer: 'https://any.example/' })
  assert.equal(open.corsHeaders({ origin: 'https://any.example' })['access-control-allow-origin'], 'https://any.example')
  assert.throws(() => { open.admit('POST', { host: 'rebound.example:5001', origin: 'http://rebound.example:5001' }) })
  assert.throws(() => { open.admit('POST', { host: 'localhost:5001', 'user-agent': MOZILLA }) }, 'a page that hides')
})
