import { createApiListener, type NodeIdentity } from '@holdfast/api'
import { type Blockstore, cachedBlockstore } from '@holdfast/blockstore'
import { openFsBlockstore } from '@holdfast/blockstore/fs'
import { HoldfastError, type Logger } from '@holdfast/core'
import { createGateway, gatewayListener, MAX_REQUEST_HEADER_BYTES } from '@holdfast/gateway'
import { openIdentity } from '@holdfast/network'
import { LeaseBook, openJournal, openPinSet, type PinSet } from '@holdfast/pins'
import { chmod, lstat, mkdir, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { userInfo } from 'node:os'
import type { Config, EffectiveSetting } from './config.ts'
import { withHomePage } from './daemon/home-page.ts'
import { listen } from './daemon/listen.ts'
import { lockRepository } from './daemon/lock.ts'
import { initRepository, REPOSITORY_VERSION } from './repository.ts'
import { REPOSITORY_FILES } from './repository-path.ts'
import { AGENT } from './version.ts'

/** A running node. Disposing it stops every part, in the reverse of the order in which they were opened. */
export interface StorageNode extends AsyncDisposable {
  readonly blocks: Blockstore
  readonly pins: PinSet
  /** Where the node can be reached. */
  describe(): NodeIdentity
}

export interface NodeOptions {
  /** Folder of the repository; made when there is none. */
  readonly repository: string
  /** Where the command line finds this node. */
  readonly socketPath: string
  readonly settings: readonly EffectiveSetting[]
  /** Called when somebody asked the node to stop, or with the error that leaves it no choice. */
  onStop(reason?: unknown): void
}

/** Bytes that wait in a response before the reader of the blocks does (measured: 64 KiB costs a third of the speed). */
const RESPONSE_BUFFER_BYTES: number = 256 * 1024

/**
 * Builds the node: the one place that knows which engine stands behind which contract.
 *
 * Read it top to bottom: each part gets, by name, only parts made above it.
 *
 * @throws `UNAVAILABLE` when the repository or a port is taken, `UNSUPPORTED` for a repository of a newer version.
 */
export async function openNode (config: Config, log: Logger, { repository, socketPath, settings, onStop }: NodeOptions): Promise<StorageNode> {
  await using opening = new AsyncDisposableStack()
  const file = (name: keyof typeof REPOSITORY_FILES): string => join(repository, REPOSITORY_FILES[name])
  const part = (name: string): Logger => log.child({ part: name })

  await initRepository(repository)
  opening.use(await lockRepository(file('lock')))
  const identity = await openIdentity(file('identity'), { log: part('network') })

  const storedBlocks = opening.use(await openFsBlockstore(file('blocks'), { log: part('blockstore'), onFatal: onStop }))
  const blocks = cachedBlockstore(storedBlocks)
  const journal = opening.use(await openJournal(file('journal'), { log: part('journal'), onFatal: onStop }))
  const pins = opening.use(await openPinSet(journal, { log: part('pins') }))
  const leases = new LeaseBook()

  const gateway = createGateway({ blocks, log: part('gateway') })
  const gatewayServer = opening.use(await listen({
    name: 'gateway',
    setting: 'gateway-port',
    at: { host: config.gatewayHost, port: config.gatewayPort },
    listener: withHomePage(gatewayListener(gateway, { log: part('gateway') }), describe),
    server: { highWaterMark: RESPONSE_BUFFER_BYTES, maxHeaderSize: MAX_REQUEST_HEADER_BYTES, headersTimeout: 20_000, requestTimeout: 30_000, keepAliveTimeout: 65_000 }
  }))

  await prepareSocket(socketPath, repository)
  opening.use(await listen({
    name: 'command line\'s door',
    at: { path: socketPath },
    listener: createApiListener({
      blocks, storedBlocks, pins, leases, journal, describe,
      repository: { folder: repository, version: REPOSITORY_VERSION, engine: 'fs' },
      settings: () => settings,
      stop: () => { onStop() },
      log: part('api')
    }),
    // Standard input of `add` may take its time: the door has no request timeout.
    server: { requestTimeout: 0 }
  }))
  if (process.platform !== 'win32') await chmod(socketPath, 0o600)

  function describe (): NodeIdentity {
    const host = config.gatewayHost.includes(':') ? `[${config.gatewayHost}]` : config.gatewayHost
    return { peerId: identity.peerId, agent: AGENT, swarm: [], gateway: `http://${host}:${gatewayServer.port}`, rpc: '', repository }
  }

  const { gateway: gatewayUrl } = describe()
  log.debug('Node started', { peer: identity.peerId, gateway: gatewayUrl })
  const open = opening.move()
  return { blocks, pins, describe, [Symbol.asyncDispose]: () => open.disposeAsync() }
}

/** Clears the place for the socket: we hold the repository's lock, so a socket that is there is left over. */
async function prepareSocket (socketPath: string, repository: string): Promise<void> {
  if (process.platform === 'win32') return
  const folder = dirname(socketPath)
  if (folder !== repository) {
    await mkdir(folder, { recursive: true, mode: 0o700 })
    const { uid, mode } = await lstat(folder)
    if (uid !== userInfo().uid || (mode & 0o077) !== 0) {
      throw new HoldfastError('UNAVAILABLE', `The folder ${folder} for sockets belongs to somebody else or is open to others; set XDG_RUNTIME_DIR to a folder of yours`, { folder })
    }
  }
  await rm(socketPath, { force: true })
}
