import type { BlockReader } from '@holdfast/blockstore'
import { parseContentPath } from '@holdfast/dag'
import type { ApiNode, FetchProgress } from '../api-node.ts'
import { type Exchange, progressReporter } from '../exchange.ts'
import type { ProgressEvent } from '../operations.ts'

type Caller = Pick<Exchange<ProgressEvent>, 'signal' | 'emit'>

const NOTHING_FETCHED: FetchProgress = { blockCount: 0, byteLength: 0, peerCount: 0 }

export interface ReaderOptions {
  /** All below what is read will be read. @default false */
  readonly walk?: boolean
  /** Told of what was fetched. @default events to the caller */
  readonly onProgress?: (progress: FetchProgress) => void
}

/** Opens a reader for the DAG that a path begins with; what is fetched is told as progress. */
export function openReader (node: ApiNode, path: string, caller: Caller, { walk = false, onProgress = fetchReporter(caller) }: ReaderOptions = {}): BlockReader & Disposable {
  return node.openReader(parseContentPath(path).root, { signal: caller.signal, walk, onProgress })
}

export interface FindOptions<T> {
  /** All below what is found will be read. */
  readonly walk: boolean
  readonly find: (blocks: BlockReader) => Promise<T>
}

/**
 * Finds what a path names and opens the reader for it.
 *
 * What will be read whole is fetched ahead from the beginning, but not what lies beside the path: that has a reader of its own.
 * Both begin at the root of the path, because providers announce the root.
 */
export async function openFound<T> (node: ApiNode, path: string, caller: Caller, { walk, find }: FindOptions<T>): Promise<{ found: T, reader: BlockReader & Disposable }> {
  const report = fetchReporter(caller)
  const isRoot = parseContentPath(path).segments.length === 0
  let fetched = NOTHING_FETCHED
  using opening = new DisposableStack()
  const finder = opening.use(openReader(node, path, caller, { walk: walk && isRoot, onProgress: (progress) => { report(fetched = progress) } }))
  const found = await find(finder)
  if (!walk || isRoot) {
    opening.move()
    return { found, reader: finder }
  }
  const { blockCount, byteLength } = fetched
  const onProgress = (progress: FetchProgress): void => {
    report({ ...progress, blockCount: blockCount + progress.blockCount, byteLength: byteLength + progress.byteLength })
  }
  return { found, reader: openReader(node, path, caller, { walk, onProgress }) }
}

function fetchReporter (caller: Caller): (progress: FetchProgress) => void {
  const report = progressReporter(caller)
  return ({ blockCount, byteLength, peerCount }) => { report({ phase: 'fetching', blockCount, byteLength, peerCount }) }
}
