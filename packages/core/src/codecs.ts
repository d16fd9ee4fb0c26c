/** Content codecs by their multicodec code: how the bytes of a block are to be read. */
export const CODECS = {
  cbor: 0x51,
  raw: 0x55,
  dagPb: 0x70,
  dagCbor: 0x71,
  libp2pKey: 0x72,
  dagJson: 0x0129,
  json: 0x0200
} as const

const NAMES: ReadonlyMap<number, string> = new Map([
  [CODECS.cbor, 'cbor'],
  [CODECS.raw, 'raw'],
  [CODECS.dagPb, 'dag-pb'],
  [CODECS.dagCbor, 'dag-cbor'],
  [CODECS.libp2pKey, 'libp2p-key'],
  [CODECS.dagJson, 'dag-json'],
  [CODECS.json, 'json']
])

/** Returns the multicodec name, or `0x…` for a codec that this node does not read. */
export function codecName (code: number): string {
  return NAMES.get(code) ?? `0x${code.toString(16)}`
}
