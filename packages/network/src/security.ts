/** How connections are encrypted. The only file that knows which package Noise comes from. */
import { noise } from '@chainsafe/libp2p-noise'
import type { ComponentLogger, ConnectionEncrypter, Metrics, PeerId, PrivateKey, Upgrader } from '@libp2p/interface'
import { tls } from '@libp2p/tls'

interface Components {
  peerId: PeerId
  privateKey: PrivateKey
  logger: ComponentLogger
  upgrader: Upgrader
  metrics?: Metrics
}

/** TLS first: about twice as fast here. Noise for the peers that lack it. The one who dials decides. */
export function encrypters (): Array<(components: Components) => ConnectionEncrypter> {
  return [tls(), noise()]
}
