/**
 * What a CAR request asks for: the parameters of the trustless gateway.
 *
 * @see https://specs.ipfs.tech/http-gateways/trustless-gateway/ §"dag-scope", §"entity-bytes", §"CAR Responses"
 */
import { CAR_PARAMETERS, type FormatChoice } from './format.ts'
import { refusal } from './http-status.ts'

export type DagScope = 'block' | 'entity' | 'all'

/** `entity-bytes=from:to`: offsets of the first and last byte, from the end when negative. */
export interface EntityBytes {
  readonly from: number
  /** `undefined` for `*`, the end of the file. */
  readonly to: number | undefined
}

export interface CarRequest {
  readonly scope: DagScope
  readonly entityBytes: EntityBytes | undefined
  /** Whether a block is sent every time it occurs. */
  readonly duplicates: boolean
}

/**
 * Reads the CAR parameters; those of the query win over those of `Accept` (IPIP-0523).
 *
 * Both orders are answered in depth-first order, which `unk` allows, and the response says so.
 *
 * @throws a 400 for a value that the specification does not have, and for another CAR version than 1.
 */
export function parseCarRequest (query: URLSearchParams, { parameters }: FormatChoice): CarRequest {
  oneOf('car-version', query.get('car-version') ?? parameters['version'] ?? '1', CAR_PARAMETERS.version)
  oneOf('car-order', query.get('car-order') ?? parameters['order'] ?? 'dfs', CAR_PARAMETERS.order)
  const duplicates = oneOf('car-dups', query.get('car-dups') ?? parameters['dups'] ?? 'n', CAR_PARAMETERS.dups)
  const bytesText = query.get('entity-bytes')
  const entityBytes = bytesText === null ? undefined : parseEntityBytes(bytesText)
  const scope = oneOf('dag-scope', query.get('dag-scope') ?? 'all', ['block', 'entity', 'all'])
  return { scope: entityBytes !== undefined && scope === 'all' ? 'entity' : scope, entityBytes, duplicates: duplicates === 'y' }
}

function oneOf<T extends string> (name: string, value: string, allowed: readonly T[]): T {
  const found = allowed.find((candidate) => candidate === value)
  if (found !== undefined) return found
  throw refusal('INVALID', 400, `CAR parameter ${name} cannot be ${JSON.stringify(value)}`, { tip: `Use ${allowed.join(' or ')}.` })
}

function parseEntityBytes (text: string): EntityBytes {
  const [, from, to] = /^(-?\d{1,15}):(-?\d{1,15}|\*)$/.exec(text) ?? []
  const range = { from: Number(from), to: to === '*' ? undefined : Number(to) }
  const backwards = range.to !== undefined && range.from < 0 === range.to < 0 && range.from > range.to
  if (from === undefined || to === undefined || backwards) {
    throw refusal('INVALID', 400, `CAR parameter entity-bytes cannot be ${JSON.stringify(text)}`, { tip: 'Write from:to, both inclusive; * stands for the end, negative numbers count from it.' })
  }
  return range
}

/** Where `entity-bytes` falls in a file: the bytes from `offset` up to `end`, or none of them. */
export interface EntityRange {
  readonly offset: number
  /** Exclusive; equal to `offset` when the range is empty. */
  readonly end: number
}

/**
 * Cuts `entity-bytes` to a file of `byteLength` bytes.
 *
 * @throws a 400 when all of it lies outside.
 */
export function entityRangeOf (bytes: EntityBytes | undefined, byteLength: number): EntityRange {
  if (bytes === undefined || byteLength === 0) return { offset: 0, end: byteLength }
  const from = bytes.from < 0 ? byteLength + bytes.from : bytes.from
  const last = bytes.to === undefined ? byteLength - 1 : bytes.to < 0 ? byteLength + bytes.to : bytes.to
  if (from >= byteLength || last < 0) {
    throw refusal('INVALID', 400, `CAR parameter entity-bytes lies outside of the file, which has ${byteLength} bytes`)
  }
  const offset = Math.max(from, 0)
  return { offset, end: Math.max(offset, Math.min(last, byteLength - 1) + 1) }
}
