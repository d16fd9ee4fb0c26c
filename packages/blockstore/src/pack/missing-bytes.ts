/** What an index says of packs, or of ends of packs, that are not there. */
import { type BlockTable, keyOf } from './block-table.ts'
import type { Location } from './location.ts'

/** Takes back what the table says of packs that are missing, or shorter than they were, and returns their numbers. */
export function cutInfos (table: BlockTable, byteLengths: ReadonlyMap<number, number>): number[] {
  const short = table.packs().filter(({ number, byteLength }) => !byteLengths.has(number) || byteLength > (byteLengths.get(number) ?? 0))
  for (const { number } of short) {
    const byteLength = byteLengths.get(number)
    table.extend(number, byteLength === undefined ? { byteLength: 0, marksByteLength: 0 } : { byteLength })
  }
  return short.map(({ number }) => number)
}

/** Quarantines the entries whose bytes are not there any more, so that they are reported and not forgotten; returns how many. */
export async function quarantineMissing (table: BlockTable, byteLengths: ReadonlyMap<number, number>): Promise<number> {
  await table.flush()
  const missing: Array<readonly [string, Location]> = []
  for (const [multihash, place] of table.indexed()) {
    if (!place.isQuarantined && place.offset + place.byteLength > (byteLengths.get(place.pack) ?? 0)) missing.push([keyOf(multihash), place])
  }
  for (const [key, place] of missing) table.set(key, { ...place, isQuarantined: true })
  for (const { number, blockCount, quarantinedCount } of table.packs()) {
    if (!byteLengths.has(number) && blockCount + quarantinedCount === 0) table.removePack(number)
  }
  await table.flush()
  return missing.length
}
