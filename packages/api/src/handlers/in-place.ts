import type { ReferredBlock } from '@holdfast/blockstore/in-place'
import { HoldfastError, parseCid } from '@holdfast/core'
import { type LeafKeeper, keepsAttributes } from '@holdfast/dag'
import type { Lease } from '@holdfast/pins'
import { realpath } from 'node:fs/promises'
import { sep } from 'node:path'
import type { ApiNode } from '../api-node.ts'
import { type Exchange, progressReporter } from '../exchange.ts'
import type { AddArgs, ArgsOf, EventOf, ReferenceEvent } from '../operations.ts'

/** Bytes that the record of one reference takes on the disk, with a digest of 32 bytes. */
const REFERENCE_BYTES = 48

/**
 * Checks what `nocopy` cannot go with, and says what it implies: every leaf is a raw block, because a reference is of bytes as they lie in a file.
 *
 * @throws `INVALID` for what contradicts that.
 */
export function nocopyRecipe (args: Pick<AddArgs, 'nocopy' | 'paths' | 'rawLeaves' | 'tar'> & Parameters<typeof keepsAttributes>[0]): { readonly rawLeaves?: boolean | undefined } {
  if (args.nocopy !== true) return { rawLeaves: args.rawLeaves }
  if (args.paths.length === 0) throw new HoldfastError('INVALID', 'Standard input cannot be referred to in place: name a file, or leave out --nocopy')
  if (args.tar === true) throw new HoldfastError('INVALID', 'What is in an archive cannot be referred to in place: unpack it, or leave out --nocopy')
  if (args.rawLeaves === false) throw new HoldfastError('INVALID', 'Only raw leaves lie in a file as they are: --nocopy cannot go with --no-raw-leaves')
  if (keepsAttributes(args)) throw new HoldfastError('INVALID', 'Raw leaves have no room for modes and times: --nocopy cannot go with --preserve-mode, --preserve-mtime, --mode and --mtime')
  return { rawLeaves: true }
}

/** Refers to the leaves of an import, which `lease` protects, where they lie. */
export async function leasedReferences ({ inPlace, cache, engine, repository }: ApiNode, lease: Lease): Promise<LeafKeeper> {
  const ours = `${await realpath(repository.folder)}${sep}`
  return {
    async refer (leaves, options) {
      for (const { path } of leaves) {
        if (path.startsWith(ours) || path.startsWith(`${repository.folder}${sep}`)) throw new HoldfastError('INVALID', `Cannot refer to ${path}: it is a file of the repository, which the node itself changes`, { path })
      }
      for (const { cid } of leaves) lease.protect(cid)
      await cache.own(leaves.map(({ cid }) => cid), () => cache.withRoom(leaves.length * REFERENCE_BYTES, () => inPlace.refer(leaves, options)))
    },
    async syncFile (path) {
      if (engine.durability === 'disk') await inPlace.syncFile(path)
    }
  }
}

/** Tells which blocks lie in files of the user, and with `verify` what became of them. Goes on after one that changed. */
export async function filestoreLs (node: ApiNode, { cids, verify = false }: ArgsOf<'filestore-ls'>, exchange: Exchange<EventOf<'filestore-ls'>>): Promise<void> {
  const report = progressReporter(exchange)
  let blockCount = 0
  let byteLength = 0
  for (const block of wanted(node, cids)) {
    exchange.signal.throwIfAborted()
    const reference: ReferenceEvent = { cid: block.cid.toString(), path: block.path, offset: block.offset, byteLength: block.byteLength }
    if (!verify) {
      await exchange.emit({ reference })
      continue
    }
    const { state, failure } = await node.inPlace.check(block, exchange)
    await exchange.emit({ reference, state, ...(failure === undefined ? {} : { reason: failure.message }) })
    report({ blockCount: ++blockCount, byteLength: byteLength += block.byteLength })
  }
}

function * wanted ({ inPlace }: ApiNode, cids: readonly string[]): Generator<ReferredBlock> {
  if (cids.length === 0) return yield * inPlace.listReferences()
  for (const text of cids) {
    const reference = inPlace.referenceTo(parseCid(text))
    if (reference === undefined) throw new HoldfastError('NOT_FOUND', `Block ${text} is not referred to in a file`, { cid: text })
    yield reference
  }
}
