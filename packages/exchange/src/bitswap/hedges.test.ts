import assert from 'node:assert/strict'
import { test } from 'node:test'
import { until } from '../raw-peer.test.ts'
import type { AskedPeer } from './asked-peer.ts'
import { openPeers, wantsOf } from './asked-peers.test.ts'
import { HEDGE_MS, Hedges } from './hedges.ts'
import type { Want } from './want.ts'

interface Asked {
  readonly want: Want
  readonly peer: AskedPeer
}

function openHedges (isDoubtful: (want: Want) => boolean): { hedges: Hedges, asked: Asked[] } {
  const asked: Asked[] = []
  return { hedges: new Hedges({ isDoubtful, ask: (want, peer) => { asked.push({ want, peer }) } }), asked }
}

test('a second peer is asked when the first keeps silent for a while, and only once', async () => {
  await using made = await openPeers()
  const [silent, second, third] = made.peers
  const [want] = await wantsOf(2, 1000)
  const { hedges, asked } = openHedges(() => asked.length === 0)
  using _ = hedges
  silent.askForBlock(want)
  const start = performance.now()
  hedges.add(want, second)
  hedges.add(want, third)
  await until(() => asked.length > 0)
  assert.ok(performance.now() - start >= HEDGE_MS)
  assert.deepEqual(asked, [{ want, peer: second }])
})

test('a peer from which bytes come is given more time, but not for ever', async () => {
  await using made = await openPeers()
  const [slow, second] = made.peers
  const [want] = await wantsOf(2, 1000)
  const { hedges, asked } = openHedges(() => asked.length === 0)
  using _ = hedges
  slow.askForBlock(want)
  const start = performance.now()
  hedges.add(want, second)
  await until(() => {
    slow.heard()
    return asked.length > 0
  })
  const elapsedMs = performance.now() - start
  assert.ok(elapsedMs >= 2 * HEDGE_MS, `${elapsedMs} ms`)
})

test('nobody else is asked once the block came, or by the peer that was asked itself', async () => {
  await using made = await openPeers()
  const [first, second] = made.peers
  const [arrives, stays] = await wantsOf(2, 1000)
  const { hedges, asked } = openHedges((want) => !want.hasArrived)
  using _ = hedges
  for (const want of [arrives, stays]) first.askForBlock(want)
  hedges.add(arrives, second)
  hedges.add(stays, first)
  arrives.hasArrived = true
  await new Promise((resolve) => { setTimeout(resolve, 2 * HEDGE_MS) })
  assert.deepEqual(asked, [])
})
