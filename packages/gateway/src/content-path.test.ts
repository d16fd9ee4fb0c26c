import { isErrorCode } from '@holdfast/core'
import fc from 'fast-check'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type ContentPath, encodeQuery, parseTarget, pathToText, pathToUri, pathToUrl } from './content-path.ts'
import { MAX_PATH_BYTES, MAX_PATH_SEGMENTS } from './limits.ts'

const ROOT = 'bafkqaaa'

function contentOf (target: string): ContentPath {
  const route = parseTarget(target)
  assert.equal(route.kind, 'content', target)
  return route.kind === 'content' ? route.path : assert.fail()
}

for (const [target, segments, trailingSlash, why] of [
  [`/ipfs/${ROOT}`, [], false, 'the bare root'],
  [`/ipfs/${ROOT}/`, [], true, 'the root as a directory'],
  [`//ipfs///${ROOT}//a///b//`, ['a', 'b'], true, 'slashes collapse everywhere'],
  [`/ipfs/${ROOT}/a%2Fb`, ['a', 'b'], false, 'an encoded slash separates'],
  [`/ipfs/${ROOT}/a%2F..%2Fb.txt`, ['b.txt'], false, 'dots are resolved after decoding'],
  [`/ipfs/${ROOT}/a%2f..%2fb%2Etxt`, ['b.txt'], false, 'lowercase hex is the same'],
  [`/ipfs/${ROOT}/%252e%252e/a`, ['%2e%2e', 'a'], false, 'decoded once, not twice'],
  [`/ipfs/${ROOT}/../../../etc/passwd`, ['etc', 'passwd'], false, 'never above the root'],
  [`/ipfs/${ROOT}/%2e%2e/%2e%2e/a`, ['a'], false, 'nor when encoded'],
  [`/ipfs/${ROOT}/a/..`, [], true, 'a path that ends in .. is a directory'],
  [`/ipfs/${ROOT}/a/.`, ['a'], true, 'a path that ends in . is a directory'],
  [`/ipfs/${ROOT}/...`, ['...'], false, 'three dots are a name'],
  [`/ipfs/${ROOT}/a\\..\\b`, ['a\\..\\b'], false, 'a backslash is a character'],
  [`/ipfs/${ROOT}/Portugal%252C+Espa%C3%B1a=Peninsula%20Ib%C3%A9rica.txt`, ['Portugal%2C+España=Peninsula Ibérica.txt'], false, 'plus is a plus, %25 a percent'],
  [`/ipfs/${ROOT}/a?b/../c`, ['a'], false, 'the query is not part of the path'],
  [`/ipfs/${ROOT}/a#b`, ['a'], false, 'a fragment is dropped'],
  [`http://example.org:8080/ipfs/${ROOT}/a`, ['a'], false, 'absolute-form'],
  ['/ipfs/ipfs', [], false, 'a root is not checked here']
] as const) {
  test(`a content path is read once and resolved inside its root: ${why}`, () => {
    assert.deepEqual({ ...contentOf(target), root: '' }, { namespace: 'ipfs', root: '', segments, trailingSlash })
  })
}

for (const [target, expected] of [
  ['/', { kind: 'elsewhere', path: '/' }],
  ['', { kind: 'elsewhere', path: '' }],
  ['*', { kind: 'elsewhere', path: '*' }],
  ['/favicon.ico?x', { kind: 'elsewhere', path: '/favicon.ico' }],
  ['/x/../ipfs/bafkqaaa', { kind: 'elsewhere', path: '/x/../ipfs/bafkqaaa' }],
  ['/IPFS/bafkqaaa', { kind: 'elsewhere', path: '/IPFS/bafkqaaa' }],
  ['/ipfs', { kind: 'namespace', namespace: 'ipfs', query: '' }],
  ['/ipns/?uri=x', { kind: 'namespace', namespace: 'ipns', query: 'uri=x' }]
] as const) {
  test(`a target outside of content is told apart: ${JSON.stringify(target)}`, () => {
    assert.deepEqual(parseTarget(target), expected)
  })
}

for (const [why, rest] of [
  ['a NUL byte', '/a%00b'],
  ['invalid UTF-8', '/%ff'],
  ['an overlong encoding of a slash', '/%c0%af'],
  ['an encoded surrogate', '/%ed%a0%80'],
  ['a lone surrogate', '/\ud800'],
  ['a percent sign that encodes nothing', '/100%'],
  ['hex that is none', '/%zz'],
  ['more bytes than allowed', `/${'a'.repeat(MAX_PATH_BYTES)}`],
  ['more segments than allowed', '/a'.repeat(MAX_PATH_SEGMENTS)],
  ['more segments than allowed, encoded', '%2Fa'.repeat(MAX_PATH_SEGMENTS)],
  ['more empty segments than allowed', '/'.repeat(MAX_PATH_SEGMENTS)]
] as const) {
  test(`a malformed path is refused with 400: ${why}`, () => {
    assert.throws(() => parseTarget(`/ipfs/${ROOT}${rest}`), (err) => isErrorCode(err, 'INVALID') && err.details.httpStatus === 400)
  })
}

test('the longest path and the most segments are still read', () => {
  const prefix = `/ipfs/${ROOT}/`
  assert.equal(contentOf(prefix + 'a'.repeat(MAX_PATH_BYTES - prefix.length)).segments.length, 1)
  assert.equal(contentOf(prefix + Array(MAX_PATH_SEGMENTS - 2).fill('a').join('/')).segments.length, MAX_PATH_SEGMENTS - 2)
})

for (const [segments, uri, url] of [
  [['sub dir', "file!'()*~.txt"], 'sub%20dir/file%21%27%28%29%2A~.txt', "sub%20dir/file!'()*~.txt"],
  [['a#b?c.txt'], 'a%23b%3Fc.txt', 'a%23b%3Fc.txt'],
  [['emoji🚀.txt'], 'emoji%F0%9F%9A%80.txt', 'emoji%F0%9F%9A%80.txt'],
  [['Portugal%2C+España=x'], 'Portugal%252C%2BEspa%C3%B1a%3Dx', 'Portugal%252C+Espa%C3%B1a=x'],
  [['a%2Fb'], 'a%252Fb', 'a%252Fb'],
  [['"<>&\\^`{|}'], '%22%3C%3E%26%5C%5E%60%7B%7C%7D', '%22%3C%3E&%5C%5E%60%7B%7C%7D'],
  [['ą', 'ę'], '%C4%85/%C4%99', '%C4%85/%C4%99']
] as const) {
  test(`a path is printed as URI and URL in uppercase hex: ${segments.join('/')}`, () => {
    const path: ContentPath = { namespace: 'ipfs', root: ROOT, segments, trailingSlash: false }
    assert.equal(pathToUri(path, ROOT), `ipfs://${ROOT}/${uri}`)
    assert.equal(pathToUrl(path), `/ipfs/${ROOT}/${url}`)
  })
}

test('the URI of a bare root has no path, that of a root directory a slash', () => {
  assert.equal(pathToUri(contentOf(`/ipfs/${ROOT}`), ROOT), `ipfs://${ROOT}`)
  assert.equal(pathToUri(contentOf(`/ipfs/${ROOT}/`), ROOT), `ipfs://${ROOT}/`)
  assert.equal(pathToText(contentOf(`/ipfs/${ROOT}/%C4%85/`)), `/ipfs/${ROOT}/ą/`)
})

test('printing a path as URL or URI and reading it again gives the same path', () => {
  const name = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 12 })
    .filter((text) => text.isWellFormed() && text !== '.' && text !== '..' && !/[/\0]/.test(text))
  fc.assert(fc.property(fc.array(name, { maxLength: 8 }), fc.boolean(), (segments, trailingSlash) => {
    const path: ContentPath = { namespace: 'ipfs', root: ROOT, segments, trailingSlash }
    assert.deepEqual(contentOf(pathToUrl(path)), path)
    assert.deepEqual(contentOf(pathToUri(path, ROOT).replace('ipfs://', '/ipfs/')), path)
  }))
})

test('no target makes the parser yield a segment that could climb, or throw anything but a 400', () => {
  const hostile = fc.array(fc.constantFrom('/', '.', '..', '%2e', '%2F', '%', '%25', '\\', 'a', '%00', '\u{10ffff}', '?', '#', '//'), { maxLength: 40 })
  fc.assert(fc.property(hostile, (parts) => {
    try {
      const route = parseTarget(`/ipfs/${ROOT}/${parts.join('')}`)
      if (route.kind === 'content') for (const segment of route.path.segments) assert.doesNotMatch(segment, /^\.{0,2}$|[/\0]/)
    } catch (err) {
      assert.ok(isErrorCode(err, 'INVALID'), String(err))
    }
  }))
})

test('a query is made safe for a header and keeps its encoding', () => {
  assert.equal(encodeQuery('a=%C4%85&b=ę\r\nX: y'), 'a=%C4%85&b=%C4%99%0D%0AX:%20y')
})
