/** A host with a public address is dialled by another one on the internet, and asks it to dial back. */
import { addressOf, until } from '../harness.ts'
import { runWorld } from './world.ts'

await runWorld(async (open) => {
  const asking = await open({ listen: ['/ip4/5.6.7.8/tcp/4001'], autonat: true })
  const answering = await open({ listen: ['/ip4/9.9.9.9/tcp/4001'], autonat: true })
  const before = { reachability: asking.reachability(), addresses: asking.addresses() }
  // On one machine it is the one who is dialled that is seen under its own address.
  await answering.connect(`/ip4/5.6.7.8/tcp/4001/p2p/${asking.peer}`)
  await until(() => asking.reachability().how.startsWith('AutoNAT'), 10_000)
  const after = { reachability: asking.reachability(), addresses: asking.addresses() }
  // The question must not have cost the connection that it came over.
  return { before, after, isStillConnected: answering.isConnected(asking.peer), address: addressOf(asking) }
})
