/** Waits for all, then rejects with the first failure: what runs must not outlive whoever began it. */
export async function settled<T> (running: ReadonlyArray<Promise<T>>): Promise<T[]> {
  const results = await Promise.allSettled(running)
  return results.map((result) => {
    if (result.status === 'rejected') throw result.reason
    return result.value
  })
}
