import { availableParallelism } from 'node:os'
import type { Worker } from 'node:worker_threads'
import { failureOf } from './disk-file.ts'
import { FAILED, FILES_PER_MESSAGE, LONG, type ShortFilesAnswer, startShortFileThread } from './short-file-thread.ts'

/** Files of an import that are read one by one before it gets a thread for the others: starting one takes as long as some hundred files. */
const FILES_WITHOUT_THREAD = 256

/** Threads that read files, of all imports: each takes some 10 MiB. Who gets none reads files one by one. */
const MAX_THREADS = 2

/** Messages on their way to the thread: while one is answered, the next lies there. */
const MESSAGES_IN_FLIGHT = 2

/**
 * Files after a slow message that are read one by one before the thread is tried again: where most files take a disk's time,
 * many reads that wait at once are faster than one thread.
 */
const FILES_PER_PAUSE = 2048

/** Threads of all imports. */
let threadCount = 0

interface Waiting {
  readonly path: Buffer
  readonly resolve: (content: Uint8Array | undefined) => void
  readonly reject: (reason: unknown) => void
}

/**
 * Reads the short files of one import, many with one message to a thread.
 *
 * Callers bound how many wait. Disposing it ends the thread; whoever still waits has to stream.
 */
export class ShortFiles implements Disposable {
  #thread: Worker | undefined
  #isThreadAsked = false
  #countdown = FILES_WITHOUT_THREAD
  #waiting: Waiting[] = []
  #isSendDue = false
  readonly #sent: Waiting[][] = []
  #closed = false

  /** Whether a thread was started. */
  get hasThread (): boolean {
    return this.#thread !== undefined
  }

  /**
   * Reads a file as a whole; `undefined` when it is long, or better streamed for another reason.
   *
   * @throws as reading the file does.
   */
  async read (path: Buffer): Promise<Uint8Array | undefined> {
    if (this.#countdown > 0) {
      if (--this.#countdown === 0 && !this.#isThreadAsked) this.#start().catch(() => { this.#end() })
      return undefined
    }
    if (this.#thread === undefined || path.includes(0)) return undefined
    return await new Promise((resolve, reject) => {
      this.#waiting.push({ path, resolve, reject })
      this.#sendSoon()
    })
  }

  [Symbol.dispose] (): void {
    this.#closed = true
    this.#end()
  }

  async #start (): Promise<void> {
    this.#isThreadAsked = true
    if (availableParallelism() === 1 || threadCount >= MAX_THREADS) return
    threadCount++
    const thread = await startShortFileThread().catch((reason: unknown) => {
      threadCount--
      throw reason
    })
    thread.once('exit', () => {
      threadCount--
      this.#end()
    })
    thread.on('error', () => { this.#end() })
    thread.on('message', (answer: ShortFilesAnswer) => { this.#answered(answer) })
    if (this.#closed) void thread.terminate()
    else this.#thread = thread
  }

  /** Whatever waits is streamed instead. */
  #end (): void {
    void this.#thread?.terminate()
    this.#thread = undefined
    for (const { resolve } of [...this.#sent.splice(0).flat(), ...this.#waiting.splice(0)]) resolve(undefined)
  }

  /** Who asks in the same turn shares a message. */
  #sendSoon (): void {
    if (this.#isSendDue) return
    this.#isSendDue = true
    setImmediate(() => {
      this.#isSendDue = false
      this.#send()
    })
  }

  #send (): void {
    while (this.#thread !== undefined && this.#waiting.length > 0 && this.#sent.length < MESSAGES_IN_FLIGHT) {
      const files = this.#waiting.splice(0, FILES_PER_MESSAGE)
      const paths = Uint8Array.from(Buffer.concat(files.flatMap(({ path }) => [path, END_OF_PATH])))
      this.#sent.push(files)
      this.#thread.postMessage({ paths }, [paths.buffer])
    }
  }

  #answered ({ lengths, content, failures, slowCount }: ShortFilesAnswer): void {
    const files = this.#sent.shift() ?? []
    this.#send()
    if (slowCount * 2 > files.length) this.#countdown = FILES_PER_PAUSE
    let at = 0
    let failureCount = 0
    for (const [index, { path, resolve, reject }] of files.entries()) {
      const length = lengths[index] ?? LONG
      if (length >= 0) resolve(content.subarray(at, at += length))
      else if (length === FAILED) reject(failureOf(path, failures[failureCount++]))
      else resolve(undefined)
    }
  }
}

const END_OF_PATH = Buffer.of(0)
