import type { PinStatusEvent } from '@holdfast/api/client'
import assert from 'node:assert/strict'
import { eventually } from './eventually.ts'
import type { Member } from './members.ts'

interface Acknowledged {
  readonly cid: string
  readonly name?: string | undefined
  readonly content: Uint8Array
}

/** What the cluster acknowledged, kept outside of it. */
export class Ledger {
  readonly #pins = new Map<string, Acknowledged>()

  get pinCount (): number {
    return this.#pins.size
  }

  put ({ id, cid }: { readonly id: string, readonly cid: string }, content: Uint8Array, name?: string): void {
    this.#pins.set(id, { cid, content, name })
  }

  delete (id: string): void {
    this.#pins.delete(id)
  }

  /** Waits until every member tells exactly these pins, and that each has its copies. */
  async untilHeldBy (members: readonly Member[]): Promise<void> {
    await eventually('all members tell the pins that were acknowledged, with their copies', async () => {
      for (const member of members) {
        const amiss = this.#amissIn(await member.statuses())
        if (amiss !== undefined) return `on ${member.name} ${amiss}`
      }
      return undefined
    })
  }

  /** Fetches every content, or those of some pins, through a member's gateway, and compares. */
  async compare (member: Member, ids: Iterable<string> = this.#pins.keys()): Promise<void> {
    for (const id of ids) {
      const pin = this.#pins.get(id)
      assert.ok(pin, `${id} is in the ledger`)
      assert.ok((await member.fetch(pin.cid)).equals(pin.content), `${member.name} serves ${pin.cid} as it was added`)
    }
  }

  #amissIn (statuses: readonly PinStatusEvent[]): string | undefined {
    const told = new Map(statuses.map((status) => [status.id, status]))
    for (const [id, { cid, name }] of this.#pins) {
      const status = told.get(id)
      if (status === undefined) return `${id} is missing`
      if (status.cid !== cid || status.name !== name) return `${id} is ${status.cid} ${status.name}, not ${cid} ${name}`
      if (status.state !== 'pinned') return `${id} is ${status.state}, ${status.countedCount} of ${status.copies.max}: ${status.missing}; ${status.holders.map((holder) => `${holder.name} ${holder.state} ${holder.why ?? ''}`).join(', ')}`
    }
    const surplus = [...told.keys()].find((id) => !this.#pins.has(id))
    return surplus === undefined ? undefined : `${surplus} is pinned, and nobody acknowledged it`
  }
}
