import { HoldfastError } from '@holdfast/core'
import { MAX_PACK_NUMBER } from './pack-format.ts'

/** The folder of the packs, below that of the store. */
export const PACKS_FOLDER = 'packs'

/** The index of the packs, below the folder of the store. */
export const INDEX_FILE = 'blocks.mdb'

/** Names the process that writes, below the folder of the store. */
export const LOCK_FILE = 'blocks.lock'

const PACK_NAME = /^(\d{8})\.car$/

/** Name of a pack: `00000001.car`. @throws `LIMIT` above `MAX_PACK_NUMBER`. */
export function packName (number: number): string {
  if (number > MAX_PACK_NUMBER) throw new HoldfastError('LIMIT', `Store has used up its ${MAX_PACK_NUMBER} pack numbers`)
  return `${String(number).padStart(8, '0')}.car`
}

/** Name of the marks of a pack: `00000001.marks`. */
export function marksName (number: number): string {
  return packName(number).replace(/car$/, 'marks')
}

/** The number of a pack of this name; `undefined` for other names, which are left alone. */
export function packNumberOf (name: string): number | undefined {
  const number = Number(PACK_NAME.exec(name)?.[1] ?? 0)
  return number === 0 ? undefined : number
}

/** The number of the pack whose marks have this name; `undefined` for other names. */
export function marksNumberOf (name: string): number | undefined {
  return packNumberOf(name.replace(/marks$/, 'car'))
}
