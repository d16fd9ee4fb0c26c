import { HoldfastError } from '@holdfast/core'
import type { CID } from 'multiformats/cid'
import * as limits from '../limits.ts'
import { type Copies, PIN_MODES, type PinMode } from '../record/record.ts'

/** Copies of a pin that nobody gave a number for. */
const DEFAULT_COPIES = 2

/** A pin to put. */
export interface PinRequest {
  readonly cid: CID
  /** @default 'recursive' */
  readonly mode?: PinMode | undefined
  readonly name?: string | undefined
  readonly meta?: Readonly<Record<string, string>> | undefined
  /** N: at most N, at least ⌈N/2⌉. @default 2 */
  readonly copies?: number | 'all' | undefined
  readonly zones?: readonly string[] | undefined
  readonly expireAtMs?: number | undefined
  /** Changes this pin, all of it; who added it and when stays. */
  readonly id?: string | undefined
}

/** DESIGN.md, Rulings: at most N, at least the half of it. Of `'all'` one copy is the least. */
export function copiesOf (copies: number | 'all' = DEFAULT_COPIES): Copies {
  if (copies === 'all') return { min: 1, max: 'all' }
  if (!Number.isInteger(copies) || copies < 1 || copies > limits.MAX_COPIES) {
    throw new HoldfastError('INVALID', `${copies} copies cannot be kept: ask for 1 to ${limits.MAX_COPIES}, or all`, { copies })
  }
  return { min: Math.ceil(copies / 2), max: copies }
}

/** Checks what a pin says of itself. @throws `INVALID`. */
export function requirePinnable ({ mode = 'recursive', name = '', meta = {}, zones = [] }: Pick<PinRequest, 'mode' | 'name' | 'meta' | 'zones'>): void {
  if (!PIN_MODES.some((known) => known === mode)) throw new HoldfastError('INVALID', `Not a kind of pin: ${JSON.stringify(mode)}; use recursive or direct`)
  const entries = Object.entries(meta)
  for (const text of [name, ...zones, ...entries.flat()]) if (!text.isWellFormed()) throw new HoldfastError('INVALID', `${JSON.stringify(text.slice(0, 80))} is not text: it holds half a character`)
  const nameBytes = Buffer.byteLength(name)
  if (nameBytes > limits.MAX_PIN_NAME_BYTES) throw new HoldfastError('INVALID', `Pin name has ${nameBytes} bytes; at most ${limits.MAX_PIN_NAME_BYTES} are kept`, { byteLength: nameBytes })
  const metaBytes = entries.flat().reduce((sum, text) => sum + Buffer.byteLength(text), 0)
  if (entries.length > limits.MAX_META_KEYS || metaBytes > limits.MAX_META_BYTES) throw new HoldfastError('INVALID', `Meta has ${entries.length} keys and ${metaBytes} bytes; at most ${limits.MAX_META_KEYS} and ${limits.MAX_META_BYTES} are kept`)
  if (zones.length > limits.MAX_PLACES || zones.some((zone) => zone === '' || Buffer.byteLength(zone) > limits.MAX_LABEL_BYTES)) throw new HoldfastError('INVALID', `Zones have 1 to ${limits.MAX_LABEL_BYTES} bytes, and at most ${limits.MAX_PLACES} may be asked for`)
}
