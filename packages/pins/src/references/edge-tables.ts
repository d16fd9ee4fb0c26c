import { HoldfastError } from '@holdfast/core'
import type { Database } from 'lmdb'
import type { CID } from 'multiformats/cid'
import { type Edge, decodeEdge, EdgeReader, encodeEdge, type Way, wayOf, WAYS } from './edge-format.ts'

type Table = Database<Buffer, Buffer>

/** The edges from parents to children, in a table for each way to read a block, with many values a key. See docs/formats/state.md. */
export class EdgeTables {
  readonly #tables: readonly Table[]
  /** The others have no edges: most repositories know one codec with links. */
  readonly #usedWays: Way[]
  #additions = 0

  constructor (open: (way: Way) => Table) {
    this.#tables = [...WAYS].sort().map(open)
    this.#usedWays = WAYS.filter((way) => this.hasEdges(way))
  }

  /** How many edges there are. */
  get count (): number {
    return this.#tables.reduce((sum, table) => sum + entryCount(table), 0)
  }

  /** Grows with every edge: a block to which none led stays so while this is the same. */
  get additions (): number {
    return this.#additions
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

  add (edge: Edge): void {
    const way = wayOf(edge.cid)
    if (!this.#usedWays.includes(way)) this.#usedWays.push(way)
    this.#additions++
    this.#table(way).putSync(keyOf(edge.cid), encodeEdge(edge))
  }

  remove (edge: Edge): void {
    this.#table(wayOf(edge.cid)).removeSync(keyOf(edge.cid), encodeEdge(edge))
  }

  #table (way: Way): Table {
    const table = this.#tables[way]
    if (table === undefined) throw new HoldfastError('CORRUPT', `The index of references names a way to read blocks that is not known: ${way}`)
    return table
  }
}

/** How many entries a table has. */
export function entryCount (table: Database<Buffer, Buffer>): number {
  const stats: unknown = table.getStats()
  return typeof stats === 'object' && stats !== null && 'entryCount' in stats && typeof stats.entryCount === 'number' ? stats.entryCount : 0
}

function keyOf (cid: CID): Buffer {
  const { bytes } = cid.multihash
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
