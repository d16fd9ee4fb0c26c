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

/** A dag node whose block is not with the sink yet; one that its own CID carries has no block. */
export interface NamedNode extends BuiltNode {
  readonly block: Block | undefined
}

const NO_NAME = new Uint8Array()

/** Builds a dag-pb node from its UnixFS message and links, in the order given. */
export async function buildUnixFsNode (data: UnixFsData, links: readonly DagPbLink[], recipe: ImportRecipe, sink: Pick<BlockSink, 'add'>): Promise<BuiltNode> {
  return await storeNode(await nameUnixFsNode(data, links, recipe), sink)
}

/** Encodes and names a dag-pb node from its UnixFS message and links, in the order given. */
export async function nameUnixFsNode (data: UnixFsData, links: readonly DagPbLink[], recipe: ImportRecipe): Promise<NamedNode> {
  const bytes = encodeDagPb({ links, data: encodeUnixFs(data) })
  let tsize = bytes.byteLength
  for (const link of links) tsize += link.tsize ?? 0
  return { ...await nameBlock(bytes, CODECS.dagPb, recipe), byteLength: data.byteLength ?? 0, tsize }
}

/** Names a block. One that its own CID carries need not be kept anywhere. */
export async function nameBlock (bytes: Uint8Array, codec: number, { hash, cidVersion, inlineBytes }: ImportRecipe, beside = false): Promise<Pick<NamedNode, 'cid' | 'block'>> {
  if (inlineBytes !== undefined && bytes.byteLength <= inlineBytes) return { cid: (await Block.of(bytes, { codec, hash: IDENTITY })).cid, block: undefined }
  const block = await Block.of(bytes, { codec, hash, version: codec === CODECS.raw ? 1 : cidVersion, beside })
  return { cid: block.cid, block }
}

/** Hands the block of a node to the sink. */
export async function storeNode ({ block, cid, byteLength, tsize }: NamedNode, sink: Pick<BlockSink, 'add'>): Promise<BuiltNode> {
  if (block !== undefined) await sink.add(block)
  return { cid, byteLength, tsize }
}

/** A link to a part of a file: its name is empty. */
export function linkTo ({ cid, tsize }: BuiltNode, name: Uint8Array = NO_NAME): DagPbLink {
  return { cid, name, tsize }
}
