import { HoldfastError, type Logger } from '@holdfast/core'
import { type Database, open, type RootDatabase } from 'lmdb'
import { CID } from 'multiformats/cid'
import { createHash } from 'node:crypto'
import { rm } from 'node:fs/promises'
import type { Pin, PinKind } from '../pin-record.ts'
import { decodeEdge, decodeHolder, decodeId, decodeNode, type Edge, EdgeReader, encodeEdge, encodeId, encodeNode, encodeNodeHolder, encodePinHolder, type Holder, ID_BYTES, type NodeEntry, nodeKey, type Way, wayOf, WAYS } from './edge-format.ts'
import { breakSeal, seal } from './seal.ts'

/** Another number than in the file: the index is built anew. */
const FORMAT = 1

/** Longest pin id that is a key as it is; a longer one is hashed. UUIDs have 36. */
const MAX_PLAIN_PIN_ID_BYTES = 64

/** What LMDB gives as the code of an I/O error, on every system: EIO of POSIX. */
const IO_ERROR = 5

type OnFatal = (reason: HoldfastError) => void

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
  /** By way; many values a key. */
  readonly #edges: readonly Table[]
  readonly #nodes: Table
  readonly #holders: Table
  readonly #pins: Table
  readonly #loose: Table
  readonly #garbage: Table
  readonly #meta: Table
  readonly #path: string
  /** The others have no edges: most repositories know one codec with links. */
  readonly #usedWays: Way[]
  #nextId: number
  #nextBatch: number
  #version = 0
  #edgeAdditions = 0
  /** What `edgeAdditions` was when no edge led to any block of a batch. */
  readonly #unreferencedAsOf = new Map<number, number>()
  readonly #onFatal: OnFatal | undefined
  #failure: HoldfastError | undefined

  constructor (env: RootDatabase<Buffer, Buffer>, path: string, onFatal?: OnFatal) {
    this.#path = path
    this.#onFatal = onFatal
    const table = (name: string, dupSort = false): Table => env.openDB<Buffer, Buffer>({ name, encoding: 'binary', keyEncoding: 'binary', dupSort })
    this.#env = env
    this.#edges = [...WAYS].sort().map((way) => table(`edges-${way}`, true))
    this.#nodes = table('nodes')
    this.#holders = table('holders')
    this.#pins = table('pins')
    this.#loose = table('loose')
    this.#garbage = table('garbage')
    this.#meta = table('meta')
    this.#usedWays = WAYS.filter((way) => this.hasEdges(way))
    this.#nextId = lastOf(this.#holders) + 1
    this.#nextBatch = lastOf(this.#garbage) + 1
  }

  /** Makes changes, all or none. @throws `UNAVAILABLE` when the disk failed, from then on for ever. */
  change (make: () => void): void {
    // LMDB does not look whether it could begin a transaction after a failed one, and may end the process.
    if (this.#failure !== undefined) throw this.#failure
    this.#version++
    try {
      this.#env.transactionSync(make)
    } catch (cause) {
      if (isIoError(cause)) throw this.#fail(cause)
      throw cause
    }
  }

  /** Another number after each change. */
  get version (): number {
    return this.#version
  }

  /** Grows with every edge: a block to which none led stays so while this is the same. */
  get edgeAdditions (): number {
    return this.#edgeAdditions
  }

  /** Reports whether any edge leads to the block, under whatever codec. @param known A way in which none leads to it. */
  isReferenced (cid: CID, known?: Way): boolean {
    const key = keyOf(cid)
    for (const way of this.#usedWays) if (way !== known && this.#table(way).doesExist(key)) return true
    return false
  }

  /** Reports whether an edge leads to the block when it is read this way. */
  hasParent (cid: CID, way: Way = wayOf(cid)): boolean {
    return this.#table(way).doesExist(keyOf(cid))
  }

  /** How many edges lead to the block when it is read as its CID says. */
  parentCount (cid: CID): number {
    return this.#table(wayOf(cid)).getValuesCount(keyOf(cid))
  }

  /** How many edges lead to the block, under whatever codec. */
  edgeCount (cid: CID): number {
    return WAYS.reduce<number>((sum, way) => sum + this.#table(way).getValuesCount(keyOf(cid)), 0)
  }

  /** The edge from the parent that was found first. */
  firstEdge (multihash: Uint8Array, way: Way): Edge | undefined {
    const value = this.#table(way).get(Buffer.from(multihash))
    return value === undefined ? undefined : decodeEdge(multihash, value)
  }

  /** The edges that lead to a block read this way. */
  * edgesTo (multihash: Uint8Array, way: Way): Generator<Edge> {
    for (const value of this.#table(way).getValues(Buffer.from(multihash))) yield decodeEdge(multihash, value)
  }

  /** The first edge of each of some blocks that are read this way, by multihash, from after a block on; none when there are no more. */
  firstEdges (way: Way, maxCount: number, after?: CID): Edge[] {
    const reader = new EdgeReader(maxCount)
    const edges: Edge[] = []
    let last: Buffer | undefined
    let passedCount = 0
    // The next key that could be: so the other edges of a block to which many lead are not met again.
    const start = after === undefined ? {} : { start: Buffer.concat([keyOf(after), Buffer.of(0)]) }
    for (const { key, value } of this.#table(way).getRange(start)) {
      if (last?.equals(key) === true) {
        if (++passedCount === maxCount) break
        continue
      }
      edges.push(reader.read(key, value))
      if (edges.length === maxCount) break
      last = key
    }
    return edges
  }

  /** Whether any block is read this way. */
  hasEdges (way: Way): boolean {
    for (const _ of this.#table(way).getKeys({ limit: 1 })) return true
    return false
  }

  addEdge (edge: Edge): void {
    const way = wayOf(edge.cid)
    if (!this.#usedWays.includes(way)) this.#usedWays.push(way)
    this.#edgeAdditions++
    this.#table(way).putSync(keyOf(edge.cid), encodeEdge(edge))
  }

  removeEdge (edge: Edge): void {
    this.#table(wayOf(edge.cid)).removeSync(keyOf(edge.cid), encodeEdge(edge))
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
      edgeCount: this.#edges.reduce((sum, table) => sum + entryCount(table), 0),
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
    this.#unreferencedAsOf.set(batch, this.#edgeAdditions)
  }

  /** What `edgeAdditions` was when no edge led to any block of the batch; `undefined` when that is not known. */
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

  #table (way: Way): Table {
    const table = this.#edges[way]
    if (table === undefined) throw new HoldfastError('CORRUPT', `The index of references names a way to read blocks that is not known: ${way}`)
    return table
  }
}

const DIRECT = 0
const RECURSIVE = 1

const OPEN_WALK: Buffer = Buffer.from('open walk')
const COMPLETE: Buffer = Buffer.from('complete')
const FORMAT_KEY: Buffer = Buffer.from('format')

/**
 * Opens the index at `path`; one that was not closed in order, changed since, or is of another format is removed and made anew.
 *
 * @throws what opening a new one throws.
 */
export async function openReferenceStore (path: string, { log, onFatal }: { readonly log: Logger, readonly onFatal?: OnFatal | undefined }): Promise<ReferenceStore> {
  const found = await openSealed(path, onFatal)
  if (found?.isOfThisFormat === true) return found
  await found?.[Symbol.asyncDispose]()
  log.debug('The index of references is built anew', { path })
  await rm(path, { force: true })
  await rm(`${path}-lock`, { force: true })
  const store = new ReferenceStore(openEnvironment(path), path, onFatal)
  store.change(() => { store.markFormat() })
  return store
}

async function openSealed (path: string, onFatal: OnFatal | undefined): Promise<ReferenceStore | undefined> {
  return await breakSeal(path) ? new ReferenceStore(openEnvironment(path), path, onFatal) : undefined
}

/**
 * Nothing is synced: an index that was not closed in order is never opened again, and a power cut after the end leaves either
 * what the seal says or what it does not fit. So a change costs no wait for the disk.
 */
function openEnvironment (path: string): RootDatabase<Buffer, Buffer> {
  return open<Buffer, Buffer>({ path, noSubdir: true, encoding: 'binary', keyEncoding: 'binary', maxDbs: 16, noSync: true, overlappingSync: false })
}

function isIoError (err: unknown): boolean {
  return err instanceof Error && 'code' in err && (err.code === IO_ERROR || err.code === 'EIO')
}

function keyOf (cid: CID): Buffer {
  const { bytes } = cid.multihash
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

function pinKey (id: string): Buffer {
  const bytes = Buffer.from(id)
  return bytes.byteLength <= MAX_PLAIN_PIN_ID_BYTES ? bytes : createHash('sha256').update(bytes).digest()
}

function entryCount (table: Table): number {
  const stats: unknown = table.getStats()
  return typeof stats === 'object' && stats !== null && 'entryCount' in stats && typeof stats.entryCount === 'number' ? stats.entryCount : 0
}

function lastOf (table: Table): number {
  for (const key of table.getKeys({ reverse: true, limit: 1 })) return key.byteLength === ID_BYTES ? decodeId(key) : 0
  return 0
}
