import type { ApiNode } from '../api-node.ts'

/** The same node for a call that must not ask other peers: what is not here is absent. */
export function offlineNode (node: ApiNode): ApiNode {
  return {
    ...node,
    openReader: () => node.cache.protectReader({
      get: async (cid, options) => await node.blocks.get(cid, options),
      has: async (cid, options) => await node.blocks.has(cid, options),
      [Symbol.dispose] () {}
    })
  }
}
