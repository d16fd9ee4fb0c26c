import { HoldfastError, writeFailureOf } from '@holdfast/core'
import type { Database, RootDatabase } from 'lmdb'
import { CID } from 'multiformats/cid'
import { createHash } from 'node:crypto'
import type { Pin, PinKind } from '../pin-record.ts'
import { decodeHolder, decodeId, decodeNode, encodeId, encodeNode, encodeNodeHolder, encodePinHolder, type Holder, ID_BYTES, type NodeEntry, nodeKey } from './edge-format.ts'
import { EdgeTables, entryCount } from './edge-tables.ts'
import { seal } from './seal.ts'

/** Another number than in the file: the index is built anew. */
const FORMAT = 1

/** Longest pin id that is a key as it is; a longer one is hashed. UUIDs have 36. */
const MAX_PLAIN_PIN_ID_BYTES = 64

export type OnFatal = (reason: HoldfastError) => void

type Table = Database<Buffer, Buffer>

/** A pin whose DAG is in the index. */
export interface WalkedPin {
  readonly nodeId: number
  readonly cid: CID
  readonly kind: PinKind
}

/** Entries of the index. */
export interface StoreCounts {
  readonly edgeCount: number
  readonly nodeCount: number
  readonly holderCount: number
  readonly pinCount: number
  /** DAG nodes that wait to be released. */
  readonly looseCount: number
  /** Batches of blocks that may be garbage. */
  readonly garbageCount: number
}

/**
 * The tables of `state.mdb`: edges from parents to children of all DAGs that pins keep, and blocks that may be garbage.
 *
 * Reads answer at once and see every change made before. Changes are made in `change`, all or
 * none of them. They outlive this process only when it ends in order.
 */
export class ReferenceStore implements AsyncDisposable {
  readonly #env: RootDatabase<Buffer, Buffer>
  readonly edges: EdgeTables
  readonly #nodes: Table
  readonly #holders: Table
  readonly #pins: Table
  readonly #loose: Table
  readonly #garbage: Table
  readonly #meta: Table
  readonly #path: string
  #nextId: number
  #nextBatch: number
  #version = 0
  /** What `edges.additions` was when no edge led to any block of a batch. */
  readonly #unreferencedAsOf = new Map<number, number>()
  readonly #onFatal: OnFatal | undefined
  #failure: HoldfastError | undefined

  constructor (env: RootDatabase<Buffer, Buffer>, path: string, onFatal?: OnFatal) {
    this.#path = path
    this.#onFatal = onFatal
    const table = (name: string, dupSort = false): Table => env.openDB<Buffer, Buffer>({ name, encoding: 'binary', keyEncoding: 'binary', dupSort })
    this.#env = env
    this.edges = new EdgeTables((way) => table(`edges-${way}`, true))
    this.#nodes = table('nodes')
    this.#holders = table('holders')
    this.#pins = table('pins')
    this.#loose = table('loose')
    this.#garbage = table('garbage')
    this.#meta = table('meta')
    this.#nextId = lastOf(this.#holders) + 1
    this.#nextBatch = lastOf(this.#garbage) + 1
  }

  /** Makes changes, all or none. @throws `LIMIT` while the disk is full, `UNAVAILABLE` when it failed, from then on for ever. */
  change (make: () => void): void {
    // LMDB does not look whether it could begin a transaction after a failed one, and may end the process.
    if (this.#failure !== undefined) throw this.#failure
    this.#version++
    try {
      this.#env.transactionSync(make)
    } catch (cause) {
      const failure = writeFailureOf(this.#path, cause)
      if (failure === 'full') throw new HoldfastError('LIMIT', `Index of references ${this.#path} was not changed: the disk is full; free some space`, { cause, path: this.#path, reason: 'no-space' })
      if (failure === 'failed') throw this.#fail(cause)
      throw cause
    }
  }

  /** Another number after each change. */
  get version (): number {
    return this.#version
  }

  /** The id of a DAG node whose links are known. */
  nodeId (cid: CID): number | undefined {
    const value = this.#nodes.get(nodeKey(cid))
    return value === undefined ? undefined : decodeId(value)
  }

  node (cid: CID): NodeEntry | undefined {
    const value = this.#nodes.get(nodeKey(cid))
    return value === undefined ? undefined : decodeNode(value)
  }

  putNode (cid: CID, node: NodeEntry): void {
    this.#nodes.putSync(nodeKey(cid), encodeNode(node))
    this.#holders.putSync(encodeId(node.id), encodeNodeHolder(cid))
  }

  removeNode (cid: CID, id: number): void {
    this.#nodes.removeSync(nodeKey(cid))
    this.#holders.removeSync(encodeId(id))
  }

  holder (id: number): Holder | undefined {
    const value = this.#holders.get(encodeId(id))
    return value === undefined ? undefined : decodeHolder(value)
  }

  /** A number that was not given before, higher than all of those that are in use. */
  takeId (): number {
    return this.#nextId++
  }

  pin (id: string): WalkedPin | undefined {
    const value = this.#pins.get(pinKey(id))
    if (value === undefined) return undefined
    const nodeId = decodeId(value)
    const holder = this.holder(nodeId)
    return holder?.kind === 'pin' ? { nodeId, cid: holder.cid, kind: value[ID_BYTES] === DIRECT ? 'direct' : 'recursive' } : undefined
  }

  /** Ids of the pins in the index. */
  * pinIds (): Generator<string> {
    for (const { value } of this.#pins.getRange({})) {
      const holder = this.holder(decodeId(value))
      if (holder?.kind === 'pin') yield holder.pinId
    }
  }

  /** How many entries there are of each sort. */
  get counts (): StoreCounts {
    return {
      edgeCount: this.edges.count,
      nodeCount: entryCount(this.#nodes),
      holderCount: entryCount(this.#holders),
      pinCount: entryCount(this.#pins),
      looseCount: entryCount(this.#loose),
      garbageCount: entryCount(this.#garbage)
    }
  }

  putPin (pin: Pick<Pin, 'id' | 'cid' | 'kind'>, nodeId: number): void {
    this.#pins.putSync(pinKey(pin.id), Buffer.concat([encodeId(nodeId), Buffer.of(pin.kind === 'direct' ? DIRECT : RECURSIVE)]))
    this.#holders.putSync(encodeId(nodeId), encodePinHolder(pin))
  }

  removePin (id: string, nodeId: number): void {
    this.#pins.removeSync(pinKey(id))
    this.#holders.removeSync(encodeId(nodeId))
  }

  /** DAG nodes that lost an edge, and may have none left; without those that are held. */
  * looseNodes (isHeld: (cid: CID) => boolean): Generator<CID> {
    for (const { value } of this.#loose.getRange({})) {
      const cid = CID.decode(Uint8Array.from(value))
      if (!isHeld(cid)) yield cid
    }
  }

  putLoose (cid: CID): void {
    this.#loose.putSync(nodeKey(cid), Buffer.from(cid.bytes))
  }

  removeLoose (cid: CID): void {
    this.#loose.removeSync(nodeKey(cid))
  }

  /** Keeps multihashes of blocks that may be garbage, one after the other; returns the number of the batch. */
  addGarbage (multihashes: readonly Uint8Array[], { isUnreferenced = false }: { readonly isUnreferenced?: boolean } = {}): number {
    const batch = this.#nextBatch++
    if (isUnreferenced) this.markUnreferenced(batch)
    this.#garbage.putSync(encodeId(batch), Buffer.concat(multihashes))
    return batch
  }

  /** The numbers of the batches, lowest first. */
  * garbageBatches (): Generator<number> {
    for (const key of this.#garbage.getKeys({})) yield decodeId(key)
  }

  garbage (batch: number): Buffer | undefined {
    const value = this.#garbage.get(encodeId(batch))
    return value === undefined ? undefined : Buffer.from(value)
  }

  /** Notes that no edge leads to any block of the batch now. */
  markUnreferenced (batch: number): void {
    this.#unreferencedAsOf.set(batch, this.edges.additions)
  }

  /** What `edges.additions` was when no edge led to any block of the batch; `undefined` when that is not known. */
  unreferencedAsOf (batch: number): number | undefined {
    return this.#unreferencedAsOf.get(batch)
  }

  /** Replaces a batch by what is left of it. */
  keepGarbage (batch: number, multihashes: readonly Uint8Array[]): void {
    if (multihashes.length === 0) this.#unreferencedAsOf.delete(batch)
    if (multihashes.length === 0) this.#garbage.removeSync(encodeId(batch))
    else this.#garbage.putSync(encodeId(batch), Buffer.concat(multihashes))
  }

  /** The id of the walk that was begun and not ended. */
  get openWalk (): string | undefined {
    return this.#meta.get(OPEN_WALK)?.toString()
  }

  set openWalk (pinId: string | undefined) {
    if (pinId === undefined) this.#meta.removeSync(OPEN_WALK)
    else this.#meta.putSync(OPEN_WALK, Buffer.from(pinId))
  }

  /** How many cached blocks there were when every other stored block was either referenced or among the garbage; `undefined` when that is not known. */
  get completeBeside (): number | undefined {
    const value = this.#meta.get(COMPLETE)
    return value === undefined ? undefined : Number(value.toString())
  }

  set completeBeside (cachedCount: number | undefined) {
    if (cachedCount === undefined) this.#meta.removeSync(COMPLETE)
    else this.#meta.putSync(COMPLETE, Buffer.from(String(cachedCount)))
  }

  get isOfThisFormat (): boolean {
    return this.#meta.get(FORMAT_KEY)?.toString() === String(FORMAT)
  }

  markFormat (): void {
    this.#meta.putSync(FORMAT_KEY, Buffer.from(String(FORMAT)))
  }

  async [Symbol.asyncDispose] (): Promise<void> {
    // Without a seal it is built anew; closing would write once more.
    if (this.#failure !== undefined) return
    await this.#env.close()
    await seal(this.#path)
  }

  #fail (cause: unknown): HoldfastError {
    this.#failure = new HoldfastError('UNAVAILABLE', `Index of references ${this.#path} is read-only since the disk failed; check the disk, then start again`, { cause, path: this.#path })
    this.#onFatal?.(this.#failure)
    return this.#failure
  }
}

const DIRECT = 0
const RECURSIVE = 1

const OPEN_WALK: Buffer = Buffer.from('open walk')
const COMPLETE: Buffer = Buffer.from('complete')
const FORMAT_KEY: Buffer = Buffer.from('format')

function pinKey (id: string): Buffer {
  const bytes = Buffer.from(id)
  return bytes.byteLength <= MAX_PLAIN_PIN_ID_BYTES ? bytes : createHash('sha256').update(bytes).digest()
}

function lastOf (table: Table): number {
  for (const key of table.getKeys({ reverse: true, limit: 1 })) return key.byteLength === ID_BYTES ? decodeId(key) : 0
  return 0
}
