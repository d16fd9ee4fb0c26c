/** Stands between a caller and one method: decides when, and whether, `proceed` runs. */
export type Interceptor = (method: string, args: readonly unknown[], proceed: (args: readonly unknown[]) => unknown) => unknown

/**
 * Wraps `target` so that calls of the named methods go through `interceptor`; everything else passes untouched.
 *
 * The wrapper has the type of what it wraps, so it works for any slice of a contract without knowing the contract.
 */
export function intercept<T extends object> (target: T, methods: readonly string[], interceptor: Interceptor): T {
  return new Proxy(target, {
    get (_, property) {
      const value: unknown = Reflect.get(target, property, target)
      if (typeof value !== 'function') return value
      // Bound to the target: a method that reads private fields does not work on a proxy.
      const proceed = (args: readonly unknown[]): unknown => Reflect.apply(value, target, args)
      if (typeof property !== 'string' || !methods.includes(property)) return (...args: unknown[]) => proceed(args)
      return (...args: unknown[]) => interceptor(property, args, proceed)
    }
  })
}
