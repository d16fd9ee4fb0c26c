import { HoldfastError, type ProtobufReader } from '@holdfast/core'

/**
 * Fields of one message that nobody knows, or that come again where one is enough; a larger number is refused.
 *
 * A later version of Bitswap may add a few per entry. 4 MiB hold two million of them, which take 100 ms to pass over.
 */
export const MAX_EXTRA_FIELDS = 4096

/** Counts the fields of one message, so that passing over useless ones takes bounded time. */
export class FieldBudget {
  #left: number = MAX_EXTRA_FIELDS

  /** Something was read that may have so many fields; how often that happens is bounded elsewhere. */
  allow (fieldCount: number): void {
    this.#left += fieldCount
  }

  /**
   * Reads the tag of the next field.
   *
   * @throws `LIMIT` when the message has more fields than what it holds needs.
   */
  tag (reader: ProtobufReader): number {
    if (--this.#left < 0) throw new HoldfastError('LIMIT', `Bitswap message holds more than ${MAX_EXTRA_FIELDS} fields that are unknown or needless`)
    return reader.varint()
  }
}

/** Passes over a field that this version does not know, as protobuf asks. */
export function skipField (reader: ProtobufReader, tag: number): void {
  switch (tag & 7) {
    case 0: reader.varint64(); break
    case 1: reader.take(8); break
    case 2: reader.bytes(); break
    case 5: reader.take(4); break
    default: throw new HoldfastError('INVALID', `Not a Bitswap message: field with wire type ${tag & 7}`)
  }
}
