/** Bytes that are the same on every run and do not repeat. */
export function patternOf (byteLength: number): Uint8Array {
  const bytes = new Uint8Array(byteLength)
  const words = new Uint32Array(bytes.buffer, 0, byteLength >> 2)
  let state = 1
  for (let index = 0; index < words.length; index++) words[index] = state = Math.imul(state, 1_664_525) + 1_013_904_223
  return bytes
}
