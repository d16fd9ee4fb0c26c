/** The protocols that we speak, the best first. 1.2 has presences, 1.1 says the CID of a block, 1.0 only its bytes. */
export const BITSWAP_PROTOCOLS = ['/ipfs/bitswap/1.2.0', '/ipfs/bitswap/1.1.0', '/ipfs/bitswap/1.0.0'] as const

export type BitswapProtocol = typeof BITSWAP_PROTOCOLS[number]

/** Returns `name` when it is one of ours; anything else is treated as the oldest. */
export function bitswapProtocol (name: string): BitswapProtocol {
  return BITSWAP_PROTOCOLS.find((protocol) => protocol === name) ?? '/ipfs/bitswap/1.0.0'
}

/** Reports whether a peer of this protocol answers HAVE and DONT_HAVE; an older one takes every want for the block. */
export function supportsHave (protocol: BitswapProtocol): boolean {
  return protocol === '/ipfs/bitswap/1.2.0'
}

/** Reports whether blocks travel with the prefix of their CID. */
export function supportsPayload (protocol: BitswapProtocol): boolean {
  return protocol !== '/ipfs/bitswap/1.0.0'
}
