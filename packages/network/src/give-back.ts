/**
 * Frees the memory of bytes that nobody needs any more, at once; those that share it with others are left alone.
 *
 * V8 marks its whole heap whenever some ten MiB outside of it wait to be collected: where a node moves bytes, that took a third of its
 * processor time. The bytes are empty afterwards, so only their owner may do this.
 */
export function giveBack ({ buffer, byteLength }: Uint8Array): void {
  if (buffer instanceof ArrayBuffer && buffer.byteLength === byteLength) buffer.transfer(0)
}
