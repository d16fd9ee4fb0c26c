import type { Worker } from 'node:worker_threads'

/** Files that one message asks for. */
export const FILES_PER_MESSAGE = 128

/** Longest file that comes with an answer, in bytes; longer ones are streamed. */
export const SHORT_FILE_BYTES: number = 64 * 1024

/** A file that takes longer came from a disk and not from memory, in milliseconds; or another process had the core. */
const SLOW_FILE_MS = 0.2

/** What was found at a path instead of a short file that stays as it is. */
export const LONG = -1
export const FAILED = -2

export interface ShortFilesRequest {
  /** Paths, with a zero byte behind each. */
  readonly paths: Uint8Array
}

export interface ShortFilesAnswer {
  /** For each path how many bytes it has in `content`, or `LONG` or `FAILED`. */
  readonly lengths: Int32Array
  readonly content: Uint8Array
  /** Why each path failed: the error's code, or none for what is not a regular file. */
  readonly failures: ReadonlyArray<string | undefined>
  /** How many paths took longer than `SLOW_FILE_MS`. */
  readonly slowCount: number
}

/** Starts a thread that reads short files, several for each message, in place: a fifth of what as many calls of libuv's pool cost. */
export async function startShortFileThread (): Promise<Worker> {
  const { Worker } = await import('node:worker_threads')
  const source = `(${serveShortFiles.toString()})(${FILES_PER_MESSAGE}, ${SHORT_FILE_BYTES}, ${SLOW_FILE_MS})`
  const thread = new Worker(source, { eval: true, execArgv: [], resourceLimits: { maxOldGenerationSizeMb: 32, maxYoungGenerationSizeMb: 4 } })
  thread.unref()
  return thread
}

/** Runs in the thread, as text: whatever it needs it finds by itself, so that the same works from sources and from compiled files. */
function serveShortFiles (filesPerMessage: number, shortFileBytes: number, slowFileMs: number): void {
  const { closeSync, constants, fstatSync, openSync, readSync } = process.getBuiltinModule('node:fs')
  const { parentPort } = process.getBuiltinModule('node:worker_threads')
  const flags = constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0)
  const scratch = Buffer.allocUnsafeSlow(filesPerMessage * shortFileBytes)

  parentPort?.on('message', ({ paths }: ShortFilesRequest) => {
    const lengths: number[] = []
    const failures: Array<string | undefined> = []
    let filled = 0
    let slowCount = 0
    let beganMs = performance.now()
    for (let at = 0; at < paths.byteLength;) {
      const end = paths.indexOf(0, at)
      const length = readOne(Buffer.from(paths.buffer, paths.byteOffset + at, end - at), failures, filled)
      lengths.push(length)
      filled += Math.max(0, length)
      at = end + 1
      const endedMs = performance.now()
      if (endedMs - beganMs > slowFileMs) slowCount++
      beganMs = endedMs
    }
    const content = Uint8Array.prototype.slice.call(scratch, 0, filled)
    const answer: ShortFilesAnswer = { lengths: Int32Array.from(lengths), content, failures, slowCount }
    parentPort.postMessage(answer, [content.buffer])
  })

  function readOne (path: Buffer, failures: Array<string | undefined>, offset: number): number {
    let file: number | undefined
    try {
      file = openSync(path, flags)
      const stats = fstatSync(file)
      if (!stats.isFile()) return failed(failures, undefined)
      if (stats.size > shortFileBytes) return -1
      let length = 0
      while (length < stats.size) {
        const read = readSync(file, scratch, offset + length, stats.size - length, length)
        if (read === 0) return failed(failures, undefined)
        length += read
      }
      // What changed meanwhile is read once more by itself, and refused there if it changes again.
      const after = fstatSync(file)
      return after.size === stats.size && after.mtimeMs === stats.mtimeMs ? length : -1
    } catch (err) {
      return failed(failures, err instanceof Error && 'code' in err ? String(err.code) : String(err))
    } finally {
      if (file !== undefined) closeSync(file)
    }
  }

  function failed (failures: Array<string | undefined>, code: string | undefined): number {
    failures.push(code)
    return -2
  }
}
