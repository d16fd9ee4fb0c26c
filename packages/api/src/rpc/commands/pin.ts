import { HoldfastError, isHoldfastError, parseCid } from '@holdfast/core'
import { DigestSet, walkDag } from '@holdfast/dag'
import type { Pin } from '@holdfast/pins'
import { resolveToCid } from '../../handlers/content-path.ts'
import { pinUpdateHere } from '../../handlers/pin-update.ts'
import { pinAdd, pinLs, pinRm } from '../../handlers/pins.ts'
import type { PinEvent } from '../../operations.ts'
import { callerMistake } from '../rpc-request.ts'
import { type RpcCall, type RpcCommand, rpcCommand } from '../rpc-command.ts'
import { callExchange } from './call-exchange.ts'

const PATHS = { names: ['ipfs-path'], repeats: true } as const

export const add: RpcCommand = rpcCommand({
  args: PATHS,
  options: { recursive: ['bool', 'r'], name: ['string', 'n'], progress: ['bool'] },

  async run (call) {
    const { node, args, options: { recursive = true, name, progress = false }, reply } = call
    const pinned: string[] = []
    for (const path of args) {
      await pinAdd(node, { path, kind: recursive ? 'recursive' : 'direct', name }, callExchange(call, async (event) => {
        if ('pin' in event) pinned.push(event.pin.cid)
        else if (progress && 'progress' in event) await reply.emit({ Progress: event.progress.blockCount ?? 0, Bytes: event.progress.byteLength ?? 0 })
      }))
    }
    await (progress ? reply.emit({ Pins: pinned }) : reply.one({ Pins: pinned }))
  }
})

export const rm: RpcCommand = rpcCommand({
  args: PATHS,
  options: { recursive: ['bool', 'r'] },

  async run (call) {
    const { node, args, options: { recursive = true }, signal, reply } = call
    const removed = new Set<string>()
    for (const path of args) {
      if (!recursive) await requireDirect(call, path, signal)
      await pinRm(node, { path, local: true, ...(recursive ? {} : { kind: 'direct' }) }, callExchange(call, async ({ pin }) => { removed.add(pin.cid) }))
    }
    await reply.one({ Pins: [...removed] })
  }
})

async function requireDirect ({ node }: Pick<RpcCall, 'node'>, path: string, signal: AbortSignal): Promise<void> {
  const cid = await resolveToCid(node.blocks, path, signal)
  const [recursive] = node.pins.list({ cid, kind: 'recursive' })
  const [direct] = node.pins.list({ cid, kind: 'direct' })
  if (recursive !== undefined && direct === undefined) throw new HoldfastError('INVALID', `${cid} is pinned recursively`)
}

const KINDS = ['recursive', 'direct', 'indirect', 'all'] as const

const LS_OPTIONS = { type: ['string', 't'], quiet: ['bool', 'q'], names: ['bool'], name: ['string', 'n'], stream: ['bool', 's'] } as const

export const ls: RpcCommand = rpcCommand({
  args: { ...PATHS, required: 0 },
  options: LS_OPTIONS,

  async run (call) {
    const { options: { stream = false }, reply } = call
    let keys = 0
    await listPins(call, async ({ cid, type, name }) => {
      if (stream) await reply.emit({ Cid: cid, Type: type, Name: name })
      else await reply.text(`${keys++ > 0 ? ',' : '{"Keys":{'}${JSON.stringify(cid)}:${JSON.stringify({ Type: type, Name: name })}`)
    })
    if (stream) reply.asValues()
    else await reply.text(keys === 0 ? '{"Keys":{}}\n' : '}}\n')
  }
})

interface ListedPin {
  readonly cid: string
  readonly type: string
  readonly name: string
}

/** Tells each CID once: the forms that Kubo answers in have one place for each. */
async function listPins (call: RpcCall<typeof LS_OPTIONS>, onPin: (pin: ListedPin) => Promise<void>): Promise<void> {
  const { node, args, options: { type = 'all', name, names = name !== undefined } } = call
  const kind = KINDS.find((known) => known === type)
  if (kind === undefined) throw callerMistake(`invalid type '${type.slice(0, 100)}', must be one of {direct, indirect, recursive, all}`)
  const seen = new DigestSet()
  // Asked for alone they come once each, and reading very many CIDs again would take longer than all else.
  const isDistinct = kind === 'indirect' && args.length === 0
  const exchange = callExchange<PinEvent>(call, async (pin) => {
    // Any part of a name fits, but what is asked for by its path is told whatever its name.
    if (name !== undefined && args.length === 0 && pin.name?.includes(name) !== true) return
    if (!isDistinct && !seen.add(parseCid(pin.cid))) return
    const type = pin.kind === 'indirect' && args.length > 0 ? `indirect through ${pin.root}` : pin.kind
    await onPin({ cid: pin.cid, type, name: names ? pin.name ?? '' : '' })
  })
  // Kubo lists indirect pins among all; the door leaves them out, because they are many.
  const kinds = kind === 'all' && args.length === 0 && name === undefined ? ['recursive', 'direct', 'indirect'] as const : [kind]
  for (const path of args.length === 0 ? [undefined] : args) {
    for (const kind of kinds) await pinLs(node, { path, kind }, exchange)
  }
}

export const update: RpcCommand = rpcCommand({
  args: { names: ['from-path', 'to-path'] },
  options: { unpin: ['bool'] },

  async run (call) {
    const { node, args: [from = '', to = ''], options: { unpin = true }, reply } = call
    const updated = await pinUpdateHere(node, { from, to, unpin }, callExchange(call))
    await reply.one({ Pins: [updated.from.toString(), updated.to.toString()] })
  }
})

/** Reads and hashes every block below every recursive pin, as far as it lies here. */
export const verify: RpcCommand = rpcCommand({
  options: { verbose: ['bool'], quiet: ['bool', 'q'] },

  async run ({ node, options: { verbose = false, quiet = false }, signal, reply }) {
    if (verbose && quiet) throw callerMistake('the --verbose and --quiet options can not be used at the same time')
    reply.asValues()
    for (const pin of node.pins.list({ kind: 'recursive' })) {
      const bad = await firstBadNode(node.storedBlocks, pin, signal)
      if (bad !== undefined) await reply.emit({ Cid: pin.cid.toString(), ...(quiet ? {} : { BadNodes: [bad] }) })
      else if (verbose && !quiet) await reply.emit({ Cid: pin.cid.toString(), Ok: true })
    }
  }
})

async function firstBadNode (blocks: Parameters<typeof walkDag>[0], { cid }: Pin, signal: AbortSignal): Promise<{ Cid: string, Err: string } | undefined> {
  try {
    for await (const _ of walkDag(blocks, [cid], { signal, maxDepth: Infinity }));
    return undefined
  } catch (err) {
    signal.throwIfAborted()
    const at = isHoldfastError(err) && typeof err.details.cid === 'string' ? err.details.cid : cid.toString()
    return { Cid: at, Err: err instanceof Error ? err.message : String(err) }
  }
}
