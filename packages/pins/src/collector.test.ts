import { MemoryBlockstore } from '@holdfast/blockstore'
import { Block, silentLogger } from '@holdfast/core'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout } from 'node:timers/promises'
import type { CollectResult } from './collect.ts'
import { startCollector } from './collector.ts'

const NOTHING: CollectResult = { keptCount: 0, removedCount: 0, removedByteLength: 0 }

async function until (isTrue: () => boolean): Promise<void> {
  for (const endMs = performance.now() + 30_000; !isTrue();) {
    assert.ok(performance.now() < endMs, 'It never came true')
    await setTimeout(2)
  }
}

test('above nine tenths of the bound garbage is collected, and where nothing can go not again before more was written', async () => {
  const blocks = new MemoryBlockstore()
  let writtenBytes = 0
  let measured = 0
  let collected = 0
  const write = async (byteLength: number): Promise<void> => {
    await blocks.put(await Block.of(Buffer.alloc(byteLength, String(writtenBytes))))
    writtenBytes += byteLength
  }
  await using _ = startCollector({
    usedBytes: async () => {
      measured++
      return (await blocks.usage()).byteLength
    },
    writtenBytes: () => writtenBytes,
    collect: async () => {
      collected++
      return NOTHING
    },
    log: silentLogger
  }, { maxBytes: 1000, intervalMs: 1 })
  await until(() => measured === 1)
  await write(899)
  await setTimeout(30)
  assert.deepEqual([measured, collected], [1, 0], 'as long as it cannot be above, it is not even measured')
  await write(1)
  await until(() => collected === 1)
  await until(() => measured === 3)
  await setTimeout(30)
  assert.deepEqual([measured, collected], [3, 1])
  await write(10)
  await until(() => collected === 2)
})

test('a collection that goes on is given up when the node closes', async () => {
  const begun = Promise.withResolvers<void>()
  const collector = startCollector({
    usedBytes: async () => 1000,
    writtenBytes: () => 0,
    collect: async ({ signal }) => await new Promise((_resolve, reject) => {
      signal.addEventListener('abort', () => { reject(signal.reason) })
      begun.resolve()
    }),
    log: silentLogger
  }, { maxBytes: 1000, intervalMs: 1 })
  await begun.promise
  await collector[Symbol.asyncDispose]()
})
