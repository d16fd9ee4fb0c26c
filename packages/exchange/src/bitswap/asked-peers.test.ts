/** Peers and wants for the tests of those who choose between them; nobody is connected, so nothing is sent. */
import { openTcpHost } from '../tcp-host.test.ts'
import { blocksOf } from '../nodes.test.ts'
import { AskedPeer } from './asked-peer.ts'
import { FetchAllowances } from './fetch-allowances.ts'
import { Outbox } from './outbox.ts'
import { Want } from './want.ts'

export interface TestPeers extends AsyncDisposable {
  readonly peers: readonly [AskedPeer, AskedPeer, AskedPeer, ...AskedPeer[]]
}

export async function openPeers (): Promise<TestPeers> {
  const host = await openTcpHost('chooser')
  const open = (id: string): AskedPeer => new AskedPeer(id, { outbox: new Outbox(host, id, { onStream: async () => {}, onFailure: () => {} }), allowance: new FetchAllowances((peer, maxBytes) => host.allowBytes(peer, maxBytes)).open(id) })
  return { peers: [open('one'), open('two'), open('three')], [Symbol.asyncDispose]: async () => { await host[Symbol.asyncDispose]() } }
}

/** Makes a peer known as one that is `rttMs` away and sends so many bytes a second. */
export function measured (peer: AskedPeer, { rttMs, bytesPerSecond }: { rttMs: number, bytesPerSecond: number }): AskedPeer {
  peer.meter.busyFrom(0)
  peer.meter.addRoundTrip(rttMs)
  for (let index = 1; index <= 40; index++) peer.meter.addBytes(bytesPerSecond / 10, rttMs + index * 100)
  return peer
}

export async function wantsOf (count: number, byteLength: number): Promise<[Want, Want, ...Want[]]> {
  const [first, second, ...others] = (await blocksOf(count, 100)).map(({ cid }) => new Want(cid, byteLength))
  if (first === undefined || second === undefined) throw new Error('At least two wants are made')
  return [first, second, ...others]
}
