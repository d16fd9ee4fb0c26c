import { Block, silentLogger } from '@holdfast/core'
import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { test } from 'node:test'
import type { CID } from 'multiformats/cid'
import { type AnnouncerDeps, type AnnouncerOptions, startAnnouncer } from './announcer.ts'
import { type ContentRouting, createContentRouting, type FoundProvider, MAX_PROVIDERS_PER_SEARCH, type ProviderSource, type ProvideResult } from './content-routing.ts'

async function cidOf (text: string): Promise<CID> {
  return (await Block.of(Buffer.from(text))).cid
}

/** A source that yields these peers, each after a delay. */
function source (name: string, peers: readonly string[], { delayMs = 0, failure }: { delayMs?: number, failure?: Error } = {}): ProviderSource & { isClosed: boolean } {
  const self = {
    name,
    isClosed: false,
    async * findProviders (): AsyncIterable<FoundProvider> {
      try {
        for (const peer of peers) {
          await sleep(delayMs)
          yield { peer, addresses: [] }
        }
        if (failure !== undefined) throw failure
      } finally {
        self.isClosed = true
      }
    },
    async provide (): Promise<ProvideResult> {
      if (failure !== undefined) throw failure
      return { acceptedCount: peers.length, failures: [] }
    }
  }
  return self
}

test('all sources are asked at once, and each peer comes once, as it is found', async () => {
  const routing = createContentRouting([source('slow', ['a', 'b'], { delayMs: 40 }), source('fast', ['b', 'c'], { delayMs: 5 })])
  const found = (await Array.fromAsync(routing.findProviders(await cidOf('x')))).map(({ peer }) => peer)
  assert.deepEqual(found, ['b', 'c', 'a'])
})

test('a source that fails is passed over while another answers', async () => {
  const failure = new Error('no route')
  const routing = createContentRouting([source('broken', [], { failure }), source('good', ['a'])])
  assert.deepEqual((await Array.fromAsync(routing.findProviders(await cidOf('x')))).map(({ peer }) => peer), ['a'])
  await assert.rejects(Array.fromAsync(createContentRouting([source('broken', [], { failure })]).findProviders(await cidOf('x'))), (err) => err === failure)
})

test('a search that is ended early closes its sources', async () => {
  const slow = source('slow', ['a', 'b', 'c'], { delayMs: 1 })
  for await (const _ of createContentRouting([slow]).findProviders(await cidOf('x'))) break
  assert.equal(slow.isClosed, true)
})

test('a search passes on no more providers than a session could use', async () => {
  const many = source('many', Array.from({ length: 500 }, (_, index) => `p${index}`))
  assert.equal((await Array.fromAsync(createContentRouting([many]).findProviders(await cidOf('x')))).length, MAX_PROVIDERS_PER_SEARCH)
})

test('an aborted search rejects with the reason', async () => {
  const reason = new Error('enough')
  const routing = createContentRouting([source('slow', ['a'], { delayMs: 50 })])
  await assert.rejects(Array.fromAsync(routing.findProviders(await cidOf('x'), { signal: AbortSignal.abort(reason) })), (err) => err === reason)
})

test('an announcement adds up who took it and says why others did not', async () => {
  const routing = createContentRouting([source('dht', ['a', 'b']), source('http', [], { failure: new Error('refused') })])
  assert.deepEqual(await routing.provide(await cidOf('x')), { acceptedCount: 2, failures: ['http: refused'] })
})

function announcerOf (routing: Partial<ContentRouting>, deps: Partial<AnnouncerDeps> = {}, options: AnnouncerOptions = {}): ReturnType<typeof startAnnouncer> {
  const full: ContentRouting = { async * findProviders () {}, async provide () { return { acceptedCount: 1, failures: [] } }, ...routing }
  return startAnnouncer({ routing: full, async * keys () {}, log: silentLogger, ...deps }, { retryMs: 20, ...options })
}

test('a root is announced at once, and what nobody took is tried again until somebody does', async () => {
  const tries: string[] = []
  let acceptedCount = 0
  await using announcer = announcerOf({ async provide (cid) { tries.push(cid.toString()); return { acceptedCount, failures: ['no peers'] } } })
  const cid = await cidOf('root')
  announcer.announce(cid)
  await sleep(10)
  assert.equal(tries.length, 1)
  assert.equal(announcer.status().waitingCount, 1)
  assert.deepEqual(announcer.status().last?.failures, ['no peers'])
  acceptedCount = 7
  await sleep(60)
  assert.equal(announcer.status().waitingCount, 0)
  assert.equal(announcer.status().last?.acceptedCount, 7)
  assert.ok(tries.length >= 2)
})

test('with strategy off nothing is announced unless it is asked for', async () => {
  let count = 0
  await using announcer = announcerOf({ async provide () { count++; return { acceptedCount: 1, failures: [] } } }, { async * keys () { yield await cidOf('x') } }, { strategy: 'off', intervalMs: 1 })
  announcer.announce(await cidOf('root'))
  await sleep(60)
  assert.equal(count, 0)
  assert.equal((await announcer.provide(await cidOf('asked'))).acceptedCount, 1)
})

test('rounds announce what the strategy names, again and again, and remember when the last began', async () => {
  const announced: string[] = []
  let written: number | undefined
  const cids = [await cidOf('a'), await cidOf('b')]
  await using announcer = announcerOf(
    { async provide (cid) { announced.push(cid.toString()); return { acceptedCount: announced.length % 2, failures: [] } } },
    { async * keys (strategy) { assert.equal(strategy, 'pinned'); yield * cids }, schedule: { read: () => written, async write (atMs) { written = atMs } } },
    { strategy: 'pinned', intervalMs: 30 }
  )
  await sleep(150)
  assert.ok(announced.length >= 4, `${announced.length} announcements`)
  assert.ok(written !== undefined && Date.now() - written < 200)
  assert.equal(announcer.status().round.announcedCount, 2)
  assert.equal(announcer.status().round.failedCount, 1)
})

test('a round that is not due waits for its time, also after a restart', async () => {
  let count = 0
  await using _announcer = announcerOf(
    { async provide () { count++; return { acceptedCount: 1, failures: [] } } },
    { async * keys () { yield await cidOf('a') }, schedule: { read: () => Date.now(), async write () {} } },
    { intervalMs: 60_000 }
  )
  await sleep(80)
  assert.equal(count, 0)
})

test('disposing ends announcements that run', async () => {
  let reason: unknown
  const announcer = announcerOf({
    async provide (_cid, { signal } = {}) {
      await new Promise((_resolve, reject) => { signal?.addEventListener('abort', () => { reason = signal.reason; reject(signal.reason) }) })
      return { acceptedCount: 0, failures: [] }
    }
  })
  announcer.announce(await cidOf('root'))
  await sleep(5)
  await announcer[Symbol.asyncDispose]()
  assert.ok(reason instanceof Error)
})
