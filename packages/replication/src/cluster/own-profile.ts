import type { Host, PeerId } from '@holdfast/network'
import { MAX_ADDRESS_CHARACTERS, MAX_ADDRESSES } from '../limits.ts'
import type { ProfileFields } from '../record/record.ts'
import type { RecordStore } from '../store/record-store.ts'
import type { Standing } from './standing.ts'

/** What this node says of itself. */
export type Profile = Pick<ProfileFields, 'name' | 'zone' | 'capacityBytes' | 'version'>

export interface OwnProfileDeps {
  readonly self: PeerId
  readonly host: Host
  readonly store: RecordStore
  readonly standing: Standing
}

/** Tells the members what this node says of itself, and at which addresses it is. */
export class OwnProfile {
  readonly #deps: OwnProfileDeps
  #profile: Profile

  constructor (deps: OwnProfileDeps, profile: Profile) {
    this.#deps = deps
    this.#profile = profile
  }

  get value (): Profile {
    return this.#profile
  }

  async set (profile: Profile): Promise<void> {
    this.#profile = profile
    await this.publish()
  }

  /** Writes the profile when the one that is held says something else. */
  async publish (): Promise<void> {
    const { self, host, store, standing } = this.#deps
    if (!standing.isMember) return
    const { map, writer } = standing.requireMember()
    const held = map.profile(self)?.fields
    const { name, zone, capacityBytes, version } = this.#profile
    const addresses = host.addresses().filter(({ length }) => length <= MAX_ADDRESS_CHARACTERS).slice(0, MAX_ADDRESSES)
    const isSame = held?.name === name && held?.zone === zone && held.capacityBytes === capacityBytes && held.version === version && held.addresses.join(' ') === addresses.join(' ')
    if (!isSame) await store.write(writer.profile({ ...name !== undefined && { name }, zone, capacityBytes, version, addresses }))
  }
}
