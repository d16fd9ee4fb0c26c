/** Two hosts on one LAN that were told nothing of each other, and one with mDNS off. */
import { until } from '../harness.ts'
import { runWorld } from './world.ts'

await runWorld(async (open) => {
  const listen = ['/ip4/127.0.0.1/tcp/0']
  const deaf = await open({ mode: 'lan', listen })
  const [first, second] = [await open({ mode: 'lan', listen, mdns: true }), await open({ mode: 'lan', listen, mdns: true })]
  await until(() => first.isConnected(second.peer) && second.isConnected(first.peer), 10_000)
  return { deafPeerCount: deaf.peers().length, firstPeerCount: first.peers().length }
})
