import assert from 'node:assert/strict'
import type { TestContext } from 'node:test'
import { create, type KuboRPCClient } from 'kubo-rpc-client'
import { startNode, type TestNode } from './harness.ts'

/** "hello world" with the recipe of a new node, and with the one that comes with CIDv0. */
export const HELLO_V1 = 'bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e'
export const HELLO_V0 = 'Qmf412jQZiuVUtdgnB36FXFX7xg5V6KEbSJ4dpQuhkLyfD'

/** A peer that is nowhere. */
export const NOBODY = '12D3KooWLQzUv2FHWGVPXTXSZpdHs7oHbXub2G5WC8Tx4NQhyd2d'

/** A CID that no node has. */
export const NOWHERE = 'bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy'

export async function openRpc (context: TestContext, flags: readonly string[] = [], engine?: 'pack' | 'fs'): Promise<{ node: TestNode, client: KuboRPCClient }> {
  const node = await startNode(context, { flags: [...flags], engine })
  return { node, client: create({ url: node.ready.rpc }) }
}

export async function bytesOf (source: AsyncIterable<Uint8Array>): Promise<Buffer> {
  return Buffer.concat(await Array.fromAsync(source))
}

/** What an endpoint answers, as its JSON lines. */
export async function linesOf (node: TestNode, path: string, init: RequestInit = {}): Promise<unknown[]> {
  const response = await fetch(`${node.ready.rpc}/api/v0/${path}`, { method: 'POST', ...init })
  const text = await response.text()
  assert.equal(response.status, 200, text)
  return text.split('\n').filter((line) => line !== '').map((line): unknown => JSON.parse(line))
}

export function form (content: string | Uint8Array<ArrayBuffer>, name: string = 'file'): FormData {
  const data = new FormData()
  data.append('file', new Blob([content]), name)
  return data
}

/** What a CAR holds beside the bytes of its two blocks: the header, and for each block a length of one byte and a CID of 36. */
export function carOverhead (car: Buffer): number {
  return 1 + (car[0] ?? 0) + 2 * (1 + 36)
}
