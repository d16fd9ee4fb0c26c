/** Runs once when one of the signals aborts, until this is disposed. */
export function whenAborted (signals: readonly AbortSignal[], run: () => void): Disposable {
  for (const signal of signals) signal.addEventListener('abort', run, { once: true })
  return { [Symbol.dispose]: () => { for (const signal of signals) signal.removeEventListener('abort', run) } }
}
