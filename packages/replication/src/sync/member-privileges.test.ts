import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MemberPrivileges } from './member-privileges.ts'

test('members have privileges as long as they are members, once each', () => {
  const held: string[] = []
  const hold = (name: string): Disposable => {
    held.push(name)
    return { [Symbol.dispose]: () => { held.splice(held.indexOf(name), 1) } }
  }
  const privileges = new MemberPrivileges({ allowBytes: (peer, maxBytes) => hold(`${peer} ${maxBytes >> 20} MiB`), protect: (peer) => hold(`${peer} stays`) })
  privileges.grant(new Set(['alice', 'bob']))
  privileges.grant(new Set(['bob', 'carol']))
  assert.deepEqual(held.toSorted(), ['bob 64 MiB', 'bob stays', 'carol 64 MiB', 'carol stays'])
  privileges[Symbol.dispose]()
  assert.deepEqual(held, [])
})
