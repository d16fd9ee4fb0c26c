/**
 * Yields what any of `sources` yields, as it comes.
 *
 * Stopping early does not wait for the others: abort what they run on, or they end in their own time.
 */
export async function * merge<T> (sources: ReadonlyArray<AsyncGenerator<T>>): AsyncGenerator<T> {
  const next = async (source: AsyncGenerator<T>): Promise<{ source: AsyncGenerator<T>, result: IteratorResult<T, unknown> }> => ({ source, result: await source.next() })
  const waiting = new Map(sources.map((source) => [source, next(source)]))
  try {
    while (waiting.size > 0) {
      const { source, result } = await Promise.race(waiting.values())
      if (result.done === true) {
        waiting.delete(source)
      } else {
        waiting.set(source, next(source))
        yield result.value
      }
    }
  } finally {
    for (const [source, step] of waiting) {
      step.catch(() => {})
      source.return(undefined).catch(() => {})
    }
  }
}
