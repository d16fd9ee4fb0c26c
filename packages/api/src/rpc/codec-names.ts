import { CODECS, HoldfastError } from '@holdfast/core'

const CODES: ReadonlyMap<string, number> = new Map([
  ['raw', CODECS.raw],
  ['dag-pb', CODECS.dagPb],
  ['dag-cbor', CODECS.dagCbor],
  ['dag-json', CODECS.dagJson],
  ['cbor', CODECS.cbor],
  ['json', CODECS.json],
  ['libp2p-key', CODECS.libp2pKey]
])

/** Returns the code of a codec by its multicodec name. @throws `UNSUPPORTED` for a name that this node does not know. */
export function codecNamed (name: string): number {
  const code = CODES.get(name)
  if (code === undefined) throw new HoldfastError('UNSUPPORTED', `Codec ${JSON.stringify(name.slice(0, 64))} is not known here; there are ${[...CODES.keys()].join(', ')}`)
  return code
}
