/** Bytes that are the same on every run and do not repeat. */
export function patternOf (byteLength: number): Uint8Array {
  const words = new Uint32Array(Math.ceil(byteLength / 4))
  let state = byteLength
  for (let index = 0; index < words.length; index++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    words[index] = state
  }
  return new Uint8Array(words.buffer, 0, byteLength)
}
