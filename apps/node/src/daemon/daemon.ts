import { isDiskFull, isHoldfastError, writeFailureOf } from '@holdfast/core'
import { type ConfigLayer, parseConfig } from '../config.ts'
import { readEnvironment } from '../environment.ts'
import { openNode, type StorageNode } from '../node.ts'
import { readConfigFile, readVersion } from '../repository.ts'
import { socketPathOf } from '../repository-path.ts'
import { createLog } from './log.ts'
import { startQuietHeap } from './quiet-heap.ts'

/** A node with its configuration, and the promise that it is asked to stop. */
export interface Daemon extends AsyncDisposable {
  readonly node: StorageNode
  /** Whether storing failed. Then disposing leaves the node as it is, and whoever holds the daemon has to end the process. */
  readonly isLost: boolean
  /** Resolves when somebody asks the node to stop; rejects with what forces it to. */
  readonly stopped: Promise<void>
}

/**
 * Reads the configuration of a repository and opens its node.
 *
 * @throws `INVALID` with every mistake of the configuration, and whatever `openNode` throws.
 */
export async function openDaemon (repository: string, flags: ConfigLayer): Promise<Daemon> {
  // A repository of a newer version may have a configuration that only a newer program can read.
  await readVersion(repository)
  const { config, settings } = parseConfig([await readConfigFile(repository), flags])
  const log = createLog(config.logLevel, process.stderr)
  const { promise: stopped, resolve, reject } = Promise.withResolvers<void>()
  // Whoever holds the daemon awaits this; until then a failure must not end the process.
  stopped.catch(() => {})
  let isLost = false
  const onUnforeseen = (err: unknown): void => {
    if (isOfFullDisk(err, repository)) return log.warn('An index was not written: the disk is full. It is written when there is space again', { err })
    log.error('A fault of the program', { err })
    // LMDB also tells promises that nobody holds of a commit that failed; the next one on the same index may wait for ever.
    if (err instanceof Error && 'commitError' in err) isLost = true
    reject(err)
  }
  process.on('uncaughtException', onUnforeseen)
  const node = await openNode(config, log, {
    repository,
    settings,
    socketPath: socketPathOf(repository, readEnvironment().runtimeFolder),
    onStop (reason) {
      if (reason === undefined) return resolve()
      // The first reason is the news: on a failed disk one part after the other finds that it cannot write.
      if (isLost) return
      log.error('The node stops: storing failed, and what is in memory can no longer be trusted to reach the disk', { err: reason, code: isHoldfastError(reason) ? reason.code : undefined })
      isLost = true
      reject(reason)
    }
  })
  const quietHeap = startQuietHeap()
  return {
    node,
    stopped,
    get isLost () { return isLost },
    async [Symbol.asyncDispose] () {
      quietHeap[Symbol.dispose]()
      // Its parts would write to the failed disk, and LMDB may wait for its own writer for ever.
      if (isLost) return
      try {
        await node[Symbol.asyncDispose]()
      } catch (err) {
        // The disk may fail meanwhile.
        if (!isLost) throw err
        log.warn('A part of the node could not end in order', { err })
      }
      process.off('uncaughtException', onUnforeseen)
    }
  }
}

/** LMDB also tells promises that nobody holds of a commit that failed; on a full disk the one who asked for it knows, and tries again. */
function isOfFullDisk (err: unknown, repository: string): boolean {
  if (!(err instanceof Error)) return false
  return 'commitError' in err ? isDiskFull(repository) : 'code' in err && typeof err.code === 'number' && writeFailureOf(repository, err) === 'full'
}
