import { HoldfastError } from '@holdfast/core'
import { setTimeout } from 'node:timers/promises'
import { intercept } from './intercept.ts'

export interface FaultOptions {
  /** Which put fails, counted from 1; each block of a `putMany` counts, and those before it are stored. */
  failPutAt?: number
  /** Which get fails, counted from 1. */
  failGetAt?: number
  /** What a failing call rejects with. @default `UNAVAILABLE`, as when a disk fails */
  error?: Error
  /** How long each get, has, put and putMany waits first, in milliseconds. @default 0 */
  delayMs?: number
}

/**
 * Wraps a blockstore, or any slice of one, that fails or lags on purpose.
 *
 * Each fault happens once: the calls after it work, as after a disk that was full for a moment.
 */
export function faultyBlockstore<Store extends object> (store: Store, options: FaultOptions = {}): Store {
  const { failPutAt, failGetAt, delayMs = 0, error = new HoldfastError('UNAVAILABLE', 'Fault injected by the test') } = options
  let putCount = 0
  let getCount = 0

  return intercept(store, ['get', 'has', 'put', 'putMany'], async (method, args, proceed) => {
    if (delayMs > 0) await delay(delayMs, signalOf(args))
    if (method === 'get' && ++getCount === failGetAt) throw error
    if (method === 'put' && ++putCount === failPutAt) throw error
    if (method === 'putMany') {
      const blocks = blocksOf(args)
      const before = putCount
      putCount += blocks.length
      if (failPutAt !== undefined && before < failPutAt && failPutAt <= putCount) {
        await proceed([blocks.slice(0, failPutAt - before - 1), ...args.slice(1)])
        throw error
      }
    }
    return await proceed(args)
  })
}

/** Waits like a slow disk: ends at once, with the caller's reason, when the caller gives up. */
async function delay (delayMs: number, signal: AbortSignal | undefined): Promise<void> {
  signal?.throwIfAborted()
  try {
    await setTimeout(delayMs, undefined, { signal })
  } catch (err) {
    signal?.throwIfAborted()
    throw err
  }
}

function signalOf (args: readonly unknown[]): AbortSignal | undefined {
  const options = args[1]
  if (options === null || typeof options !== 'object' || !('signal' in options)) return undefined
  return options.signal instanceof AbortSignal ? options.signal : undefined
}

/** The blocks of a `putMany` call. */
export function blocksOf (args: readonly unknown[]): readonly unknown[] {
  return Array.isArray(args[0]) ? args[0] : []
}
