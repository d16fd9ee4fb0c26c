import { Block, CODECS, type DagPbLink, encodeDagPb, IDENTITY } from '@holdfast/core'
import type { CID } from 'multiformats/cid'
import type { ImportRecipe } from '../profile.ts'
import { encodeUnixFs, type UnixFsData } from '../unixfs.ts'
import type { BlockSink } from './block-sink.ts'

/** A dag node that was built and handed to the sink, as its parent needs it. */
export interface BuiltNode {
  readonly cid: CID
  /** Bytes of file content below; 0 for what is not a file. */
  readonly byteLength: number
  /** Tsize: bytes of this block and of all blocks below, repeats counted. */
  readonly tsize: number
}

const NO_NAME = new Uint8Array()

/** Builds a raw leaf: the chunk itself. */
export async function buildRawLeaf (chunk: Uint8Array, recipe: ImportRecipe, sink: Pick<BlockSink, 'add'>): Promise<BuiltNode> {
  const cid = await buildBlock(chunk, CODECS.raw, recipe, sink)
  return { cid, byteLength: chunk.byteLength, tsize: chunk.byteLength }
}

/** Builds a dag-pb node from its UnixFS message and links, in the order given. */
export async function buildUnixFsNode (data: UnixFsData, links: readonly DagPbLink[], recipe: ImportRecipe, sink: Pick<BlockSink, 'add'>): Promise<BuiltNode> {
  const bytes = encodeDagPb({ links, data: encodeUnixFs(data) })
  const cid = await buildBlock(bytes, CODECS.dagPb, recipe, sink)
  const tsize = links.reduce((sum, link) => sum + (link.tsize ?? 0), bytes.byteLength)
  return { cid, byteLength: data.byteLength ?? 0, tsize }
}

/** Names a block and hands it on. One that its own CID carries need not be kept anywhere. */
async function buildBlock (bytes: Uint8Array, codec: number, { hash, cidVersion, inlineBytes }: ImportRecipe, sink: Pick<BlockSink, 'add'>): Promise<CID> {
  if (inlineBytes !== undefined && bytes.byteLength <= inlineBytes) return (await Block.of(bytes, { codec, hash: IDENTITY })).cid
  const block = await Block.of(bytes, { codec, hash, version: codec === CODECS.raw ? 1 : cidVersion })
  await sink.add(block)
  return block.cid
}

/** A link to a part of a file: its name is empty. */
export function linkTo ({ cid, tsize }: BuiltNode, name: Uint8Array = NO_NAME): DagPbLink {
  return { cid, name, tsize }
}
