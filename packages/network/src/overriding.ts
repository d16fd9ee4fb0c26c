/** `inner` with some methods replaced. The others run on `inner` itself, whose state they change. */
export function overriding<T extends object> (inner: T, methods: Partial<T>): T {
  return new Proxy(inner, {
    get (target, name) {
      const own: unknown = Reflect.get(methods, name)
      if (own !== undefined) return own
      const value: unknown = Reflect.get(target, name)
      return typeof value === 'function' ? value.bind(target) : value
    }
  })
}
