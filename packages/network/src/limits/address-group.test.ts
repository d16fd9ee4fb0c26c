import assert from 'node:assert/strict'
import { test } from 'node:test'
import { addressGroup } from './address-group.ts'

for (const [ip, name, kind] of [
  ['192.0.2.77', '192.0.2.0/24', 'public'],
  ['::ffff:192.0.2.77', '192.0.2.0/24', 'public'],
  ['::ffff:c000:24d', '192.0.2.0/24', 'public'],
  ['0:0:0:0:0:ffff:192.0.2.77', '192.0.2.0/24', 'public'],
  ['127.0.0.9', '127.0.0.0/24', 'loopback'],
  ['127.1.0.9', '127.1.0.0/24', 'loopback'],
  ['::ffff:127.0.0.1', '127.0.0.0/24', 'loopback'],
  ['::1', '0:0:0::/48', 'loopback'],
  ['10.1.2.3', '10.1.2.0/24', 'private'],
  ['192.168.178.20', '192.168.178.0/24', 'private'],
  ['::ffff:10.1.2.3', '10.1.2.0/24', 'private'],
  ['2001:db8:1:2::5', '2001:db8:1::/48', 'public'],
  ['2001:db8:1:ffff:1:2:3:4', '2001:db8:1::/48', 'public'],
  ['2001:DB8:1::', '2001:db8:1::/48', 'public'],
  ['2001:db8::1:2:3:4', '2001:db8:0::/48', 'public'],
  ['fe80::1%eth0', 'fe80:0:0::/48', 'private'],
  ['fd12:3456:789a::1', 'fd12:3456:789a::/48', 'private']
] as const) {
  test(`${ip} is of ${name}, ${kind}`, () => {
    assert.deepEqual(addressGroup(ip), { name, kind })
  })
}

test('what is no IP address has no group', () => {
  for (const text of ['', 'example.com', '192.0.2', '1:2', '192.0.2.256', ':::']) assert.equal(addressGroup(text), undefined, text)
})
