import { HoldfastError, varintLength, writeVarint } from '@holdfast/core'
import type { ByteSource } from './byte-source.ts'

/** Longest varint that is read, in bytes: 35 bits, and no length in a CAR may need more than 22. */
const MAX_VARINT_BYTES = 5

/**
 * Reads the varint that begins at `byteOffset`, or returns `undefined` when the source is at its end.
 *
 * @throws `INVALID` when it is cut short or padded, `LIMIT` when it is longer than any length that is accepted.
 */
export async function takeVarint (source: ByteSource, byteOffset: number): Promise<number | undefined> {
  let value = 0
  for (let index = 0; index < MAX_VARINT_BYTES; index++) {
    const byte = await source.takeByte()
    if (byte === undefined) {
      if (index === 0) return undefined
      throw new HoldfastError('INVALID', `CAR ends inside the length at byte ${byteOffset}`, { byteOffset })
    }
    value += (byte & 0x7f) * 0x80 ** index
    if (byte >= 0x80) continue
    if (byte === 0 && index > 0) throw new HoldfastError('INVALID', `Length at byte ${byteOffset} of the CAR is padded`, { byteOffset })
    return value
  }
  throw new HoldfastError('LIMIT', `Length at byte ${byteOffset} of the CAR has more than ${MAX_VARINT_BYTES} bytes`, { byteOffset })
}

export function encodeVarint (value: number): Uint8Array {
  const bytes = new Uint8Array(varintLength(value))
  writeVarint(bytes, 0, value)
  return bytes
}
