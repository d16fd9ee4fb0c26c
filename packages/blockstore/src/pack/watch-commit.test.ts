import { HoldfastError } from '@holdfast/core'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { watchCommit } from './watch-commit.ts'

/** A disk that notes what failed on it. */
class NotedDisk {
  readonly failures: unknown[] = []
  readonly #isSound: boolean

  constructor (isSound: boolean) {
    this.#isSound = isSound
  }

  async durably<T> (_what: string, _name: string, step: () => Promise<T>): Promise<T> {
    try {
      return await step()
    } catch (cause) {
      this.failures.push(cause)
      throw new HoldfastError('UNAVAILABLE', 'The disk failed', { cause })
    }
  }

  async syncFolder (): Promise<void> {
    await this.durably('sync', '', async () => { if (!this.#isSound) throw new Error('EIO') })
  }
}

test('a commit that never ends is given up when the disk does not work any more', { timeout: 60_000 }, async () => {
  const disk = new NotedDisk(false)
  await using alive = keepAlive()
  await assert.rejects(watchCommit(disk, new Promise(() => {})), { message: 'The disk failed' })
  assert.equal(disk.failures.length, 1)
  void alive
})

test('a commit that met an I/O error is a failure of the disk', async () => {
  const disk = new NotedDisk(true)
  const cause = new HoldfastError('UNAVAILABLE', 'Index does not work', { errno: 'EIO' })
  await assert.rejects(watchCommit(disk, Promise.reject(cause)), { message: 'The disk failed' })
  assert.deepEqual(disk.failures, [cause])
})

test('a commit that found no space is no failure of the disk', async () => {
  const disk = new NotedDisk(true)
  const cause = new HoldfastError('LIMIT', 'The disk is full')
  await assert.rejects(watchCommit(disk, Promise.reject(cause)), cause)
  assert.deepEqual(disk.failures, [])
})

/** The watch itself does not keep the process alive. */
function keepAlive (): AsyncDisposable {
  const timer = setInterval(() => {}, 1000)
  return { async [Symbol.asyncDispose] () { clearInterval(timer) } }
}
