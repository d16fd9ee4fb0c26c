import { HoldfastError, type Ipld } from '@holdfast/core'
import type { PeerId } from '@holdfast/network'
import type { JournalRecord } from '@holdfast/pins'
import { hash } from 'node:crypto'
import { MAX_LABEL_BYTES, MAX_OPEN_INVITES } from '../limits.ts'
import { Fields } from '../record/fields.ts'
import { peerToBytes } from '../record/peer-bytes.ts'
import { type Role, ROLES } from '../record/record.ts'

/** An invite that this node issued. The secret itself is not kept. */
export interface IssuedInvite {
  /** SHA-256 of the secret, in hex. */
  readonly secretHash: string
  readonly role: Role
  readonly zone?: string
  readonly expiresMs: number
  readonly usedBy?: PeerId
}

export function secretHashOf (secret: Uint8Array): string {
  return hash('sha256', secret)
}

/** The invites that this node issued, as its journal tells. */
export class InviteBook {
  readonly #byHash = new Map<string, IssuedInvite>()

  get (secretHash: string): IssuedInvite | undefined {
    return this.#byHash.get(secretHash)
  }

  /** @throws `LIMIT` when too many may still be used. */
  requireRoom (nowMs: number): void {
    const open = [...this.#byHash.values()].filter(({ usedBy, expiresMs }) => usedBy === undefined && expiresMs > nowMs)
    if (open.length >= MAX_OPEN_INVITES) throw new HoldfastError('LIMIT', `${open.length} invites are open; wait until some are used or expire`)
  }

  /** Takes in the value of a journal record. Repetition changes nothing. @throws `CORRUPT` for one that is not read here. */
  apply (value: Ipld): void {
    const invite = inviteOf(value)
    this.#byHash.set(invite.secretHash, invite)
  }

  clear (): void {
    this.#byHash.clear()
  }

  /** What is worth keeping in the journal: a used or expired invite is told from an unknown one for as long again. */
  records (nowMs: number): JournalRecord[] {
    return [...this.#byHash.values()].filter(({ expiresMs }) => expiresMs > nowMs - REMEMBERED_MS).map(inviteRecord)
  }
}

const REMEMBERED_MS = 7 * 24 * 60 * 60 * 1000

export function inviteRecord ({ secretHash, role, zone, expiresMs, usedBy }: IssuedInvite): JournalRecord {
  return {
    kind: 'invite',
    value: { secretHash: Buffer.from(secretHash, 'hex'), role, ...zone !== undefined && { zone }, expires: expiresMs, ...usedBy !== undefined && { usedBy: peerToBytes(usedBy) } }
  }
}

function inviteOf (value: Ipld): IssuedInvite {
  try {
    const fields = new Fields(value, 'An invite of the journal')
    return {
      secretHash: Buffer.from(fields.bytes('secretHash', { min: 32, max: 32 })).toString('hex'),
      role: fields.oneOf('role', ROLES),
      ...fields.has('zone') && { zone: fields.text('zone', MAX_LABEL_BYTES) },
      expiresMs: fields.integer('expires'),
      ...fields.has('usedBy') && { usedBy: fields.peer('usedBy') }
    }
  } catch (cause) {
    throw new HoldfastError('CORRUPT', 'An invite of the journal is not of the form that is read here', { cause })
  }
}
