/** The options of every operation that waits. */
export interface AbortOptions {
  /** Ends the wait; the rejection is `signal.reason`, unwrapped. */
  signal?: AbortSignal | undefined
}
