import assert from 'node:assert/strict'
import { test } from 'node:test'
import { DiskTrust } from './disk-trust.ts'
import { isErrorCode } from './errors.ts'
import { silentLogger } from './logger.ts'

test('the first failure is final, told once, and what everybody hears from then on', async () => {
  const told: unknown[] = []
  const trust = new DiskTrust({ name: 'Store', log: silentLogger, onFatal: (reason) => { told.push(reason) } })
  trust.require()
  assert.equal(await trust.durably('sync', '/store/a', async () => 'done'), 'done')
  const cause = Object.assign(new Error('EIO: i/o error'), { code: 'EIO' })
  await assert.rejects(trust.durably('sync', '/store/a', async () => { throw cause }), (err) => {
    return isErrorCode(err, 'UNAVAILABLE') && err.message === 'Store is read-only since the disk failed: could not sync /store/a (EIO); check the disk, then start again' && err.cause === cause
  })
  const later = trust.lose('write to', '/store/b', new Error('another'))
  assert.throws(() => { trust.require() }, (err) => err === later)
  assert.deepEqual(told, [later])
  assert.equal(later.details['path'], '/store/a')
  assert.equal(trust.isLost, true)
})
