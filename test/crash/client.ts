import { type Answer, createApiClient, type OperationName, type Operations } from '@holdfast/api/client'
import { HoldfastError } from '@holdfast/core/errors'
import { randomUUID } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { RunOptions, TestNode } from '../harness.ts'

/** Bytes in a block of what the clients add: small, so that there are many files to lose. */
export const CHUNK_BYTES = 4096

const CHUNKER = `size-${CHUNK_BYTES}`

/** Exit status of the command line for `NOT_FOUND`. */
const NOT_FOUND_STATUS = 3

/** What the workload asks of a daemon. Whatever resolves was acknowledged; whatever rejects may have happened or not. */
export interface Client {
  addFile(bytes: Uint8Array): Promise<string>
  addTree(path: string): Promise<string>
  pin(cid: string): Promise<void>
  unpin(cid: string): Promise<void>
  exportTo(cid: string, archive: string): Promise<void>
  /** Resolves with the roots that were pinned. */
  importFrom(archive: string): Promise<readonly string[]>
  read(path: string): Promise<Buffer>
  collect(): Promise<void>
  /** The CIDs of all pins. */
  pins(): Promise<readonly string[]>
  /** Walks a DAG to its end; rejects when something of it is missing or damaged. */
  walk(cid: string): Promise<void>
  /** Resolves with what a check of every block found damaged. */
  verify(): Promise<readonly string[]>
}

/** Asks over the socket, as programs do. */
export function apiClient (socketPath: string): Client {
  const ask = async <Name extends OperationName> (name: Name, args: Operations[Name]['args'], body?: AsyncIterable<Uint8Array>): Promise<Answered<Name>> => {
    const answered: Answered<Name> = { events: [], bytes: [] }
    for await (const answer of createApiClient(socketPath).call(name, args, { body })) {
      if (answer.type === 'event') answered.events.push(answer.event)
      else answered.bytes.push(answer.bytes)
    }
    return answered
  }
  const add = async (paths: readonly string[], body?: AsyncIterable<Uint8Array>): Promise<string> => {
    const { events } = await ask('add', { paths, recursive: true, chunker: CHUNKER }, body)
    return pinnedBy(events)
  }
  return {
    addFile: async (bytes) => await add([], streamOf(bytes)),
    addTree: async (path) => await add([path]),
    pin: async (path) => { await ask('pin-add', { path, kind: 'recursive' }) },
    unpin: async (path) => { await ask('pin-rm', { path }) },
    exportTo: async (path, archive) => { await writeFile(archive, Buffer.concat((await ask('dag-export', { path })).bytes)) },
    importFrom: async (archive) => (await ask('dag-import', { paths: [] }, createReadStream(archive))).events.flatMap((event) => 'imported' in event ? event.imported.pinned : []),
    read: async (path) => Buffer.concat((await ask('cat', { path })).bytes),
    collect: async () => { await ask('gc', {}) },
    pins: async () => (await ask('pin-ls', {})).events.map(({ cid }) => cid),
    walk: async (path) => { await ask('stat', { path }) },
    verify: async () => (await ask('repo-verify', {})).events.flatMap((event) => 'damaged' in event ? [`${event.damaged.cid}: ${event.damaged.reason}`] : [])
  }
}

interface Answered<Name extends OperationName> {
  readonly events: Array<Extract<Answer<Name>, { type: 'event' }>['event']>
  readonly bytes: Uint8Array[]
}

function pinnedBy (events: ReadonlyArray<Operations['add']['event']>): string {
  const [root] = events.flatMap((event) => 'pinned' in event ? event.pinned : [])
  if (root === undefined) throw new Error('An add ended well and pinned nothing')
  return root
}

async function * streamOf (bytes: Uint8Array): AsyncIterable<Uint8Array> {
  yield bytes
}

/** Runs commands, as people do: what counts is the exit status. Files in between go to the folder `scratch`. */
export function commandClient (node: TestNode, scratch: string): Client {
  const run = async (args: readonly string[], options?: RunOptions): Promise<string> => {
    const { status, stdout, stderr } = await node.run(args, options)
    if (status === NOT_FOUND_STATUS) throw new HoldfastError('NOT_FOUND', stderr)
    if (status !== 0) throw new Error(`holdfast ${args.join(' ')} ended with status ${status}: ${stderr}`)
    return stdout.trimEnd()
  }
  return {
    addFile: async (stdin) => await run(['add', '-Q', '--chunker', CHUNKER], { stdin }),
    addTree: async (path) => await run(['add', '-rQ', '--chunker', CHUNKER, path]),
    pin: async (cid) => { await run(['pin', 'add', cid]) },
    unpin: async (cid) => { await run(['pin', 'rm', cid]) },
    exportTo: async (cid, archive) => { await run(['dag', 'export', cid, '-o', archive]) },
    importFrom: async (archive) => [...(await run(['dag', 'import', archive])).matchAll(/^pinned (\S+)$/gm)].map(([, cid = '']) => cid),
    read: async (path) => {
      const target = join(scratch, randomUUID())
      await run(['get', path, '-o', target])
      const bytes = await readFile(target)
      await rm(target)
      return bytes
    },
    collect: async () => { await run(['gc']) },
    pins: async () => linesOf(await run(['pin', 'ls', '-q'])),
    walk: async (cid) => { await run(['stat', cid]) },
    async verify () {
      const { status, stdout, stderr } = await node.run(['repo', 'verify'])
      return status === 0 ? [] : linesOf(`${stdout}${stderr}`)
    }
  }
}

function linesOf (text: string): string[] {
  return text.split('\n').filter((line) => line !== '')
}
