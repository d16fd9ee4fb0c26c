import { isErrorCode } from '@holdfast/core/errors'
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { CHUNK_BYTES, type Client } from './client.ts'
import type { Entry, Files, Ledger } from './ledger.ts'
import { SeededRandom } from './seeded-random.ts'

/** Pinned roots of one client above which it rather unpins, so that long runs stay as quick as short ones. */
const MANY_PINNED = 30

/** Chunks that files of all clients are made of, beside some of their own: what one unpins, others still need. */
const SHARED_CHUNKS: readonly Buffer[] = Array.from({ length: 32 }, (_, index) => new SeededRandom('shared', index).bytes(CHUNK_BYTES))

export interface WorkloadOptions {
  readonly ledger: Ledger
  /** By the name under which the ledger keeps what is theirs. */
  readonly clients: Readonly<Record<string, Client>>
  /** Asks for garbage collections beside everything else. */
  readonly collector: Client
  /** Folder for files on their way. */
  readonly scratch: string
  /** Makes the choices of this run other ones than those of the run before. */
  readonly round: number | string
  /** Aborted just before the crash: from then on requests may fail. */
  readonly doomed: AbortSignal
  /** Aborted when the daemon has ended. */
  readonly over: AbortSignal
}

/** Lets every client add, pin, unpin, export, import and read at random until the daemon has ended. */
export async function runWorkload (options: WorkloadOptions): Promise<void> {
  const { clients, collector, round, ledger, scratch } = options
  const workers = Object.entries(clients).map(([name, client]) => new Worker(name, client, ledger, scratch, new SeededRandom(round, name)))
  const pauses = new SeededRandom(round, 'collector')
  await Promise.all([
    ...workers.map(async (worker) => { await untilOver(options, async () => { await worker.step() }) }),
    untilOver(options, async () => {
      await sleep(pauses.integer(0, 200))
      await collector.collect()
    })
  ])
}

async function untilOver ({ doomed, over }: WorkloadOptions, step: () => Promise<void>): Promise<void> {
  while (!over.aborted) {
    try {
      await step()
    } catch (err) {
      if (!doomed.aborted) throw err
      await sleep(5)
    }
  }
}

/** One client and the roots that it alone works on. */
class Worker {
  readonly #name: string
  readonly #client: Client
  readonly #ledger: Ledger
  readonly #scratch: string
  readonly #random: SeededRandom

  constructor (name: string, client: Client, ledger: Ledger, scratch: string, random: SeededRandom) {
    this.#name = name
    this.#client = client
    this.#ledger = ledger
    this.#scratch = scratch
    this.#random = random
  }

  /** Does one thing, and waits until it is acknowledged. */
  async step (): Promise<void> {
    const pinned = this.#ledger.entriesOf(this.#name, 'pinned')
    const unpinned = this.#ledger.entriesOf(this.#name, 'unpinned')
    const [one, other] = [this.#random.pick(pinned), this.#random.pick(unpinned)]
    const add = async (): Promise<void> => { await this.#add() }
    const unpin = async (): Promise<void> => { if (one !== undefined) await this.#ledger.unpin(one, async () => { await this.#client.unpin(one.cid) }) }
    const steps = [
      ...(pinned.length < MANY_PINNED ? [add, add, add, add] : [unpin, unpin, unpin]),
      unpin,
      ...(one === undefined ? [] : [async () => { await this.#read(one) }, async () => { await this.#exportAndImport(one) }]),
      ...(other === undefined ? [] : [async () => { await this.#pinAgain(other) }, async () => { await this.#addAgain(other) }])
    ]
    await this.#random.pick(steps)?.()
  }

  async #add (): Promise<void> {
    const files = this.#random.once(3) ? this.#newTree() : new Map([['', this.#newFile()]])
    await this.#ledger.add(this.#name, files, async () => await this.#send(files))
  }

  async #addAgain (entry: Entry): Promise<void> {
    await this.#ledger.pin(entry, async () => { assert.equal(await this.#send(entry.files), entry.cid) })
  }

  /** What a collection took in the meantime cannot be pinned, and the answer says so. */
  async #pinAgain (entry: Entry): Promise<void> {
    try {
      await this.#ledger.pin(entry, async () => { await this.#client.pin(entry.cid) })
    } catch (err) {
      if (!isErrorCode(err, 'NOT_FOUND')) throw err
    }
  }

  async #read ({ cid, files }: Entry): Promise<void> {
    const [path, bytes] = this.#random.pick([...files]) ?? ['', Buffer.alloc(0)]
    assert.ok((await this.#client.read(contentPath(cid, path))).equals(bytes), `${contentPath(cid, path)} was read with other bytes`)
  }

  /** The only copy is an archive for a while. */
  async #exportAndImport (entry: Entry): Promise<void> {
    const archive = join(this.#scratch, `${randomUUID()}.car`)
    await this.#client.exportTo(entry.cid, archive)
    await this.#ledger.unpin(entry, async () => { await this.#client.unpin(entry.cid) })
    await sleep(this.#random.integer(0, 50))
    await this.#ledger.pin(entry, async () => { assert.deepEqual(await this.#client.importFrom(archive), [entry.cid]) })
    await rm(archive)
  }

  async #send (files: Files): Promise<string> {
    const only = files.get('')
    if (only !== undefined) return await this.#client.addFile(only)
    const folder = join(this.#scratch, randomUUID())
    for (const [path, bytes] of files) {
      await mkdir(dirname(join(folder, path)), { recursive: true })
      await writeFile(join(folder, path), bytes)
    }
    const cid = await this.#client.addTree(folder)
    await rm(folder, { recursive: true })
    return cid
  }

  #newTree (): Files {
    const paths = ['a', 'b c', 'sub/d', 'sub/sub/é', 'sub/f'].slice(0, this.#random.integer(1, 5))
    return new Map(paths.map((path) => [path, this.#newFile()]))
  }

  /** A chunk that no other file has, then some that others have too; sometimes a larger file. */
  #newFile (): Buffer {
    if (this.#random.once(10)) return this.#random.bytes(this.#random.integer(CHUNK_BYTES, 64 * CHUNK_BYTES))
    const shared = Array.from({ length: this.#random.integer(0, 6) }, () => this.#random.pick(SHARED_CHUNKS) ?? Buffer.alloc(0))
    return Buffer.concat([this.#random.bytes(CHUNK_BYTES), ...shared])
  }
}

/** The path of a file below a root; that of a root which is a file is the root's. */
export function contentPath (cid: string, path: string): string {
  return path === '' ? cid : `${cid}/${path}`
}
