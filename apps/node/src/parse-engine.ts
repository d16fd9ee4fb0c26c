import { HoldfastError } from '@holdfast/core/errors'
import type { EngineName } from './repository.ts'

/** Reads the name of an engine; `undefined` stays so. @throws `INVALID` for any other text. */
export function parseEngine (text: string | undefined): EngineName | undefined {
  if (text === undefined || text === 'pack' || text === 'fs') return text
  throw new HoldfastError('INVALID', `${JSON.stringify(text)} is no engine: there are pack and fs`)
}
