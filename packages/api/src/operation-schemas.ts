import { HoldfastError } from '@holdfast/core'
import { MAX_IGNORE_BYTES } from '@holdfast/dag'
import * as v from 'valibot'
import type { ArgsOf, OperationName } from './operations.ts'

/** Most paths of one call: as many as a shell passes on. */
const MAX_PATHS = 100_000

/** Longest path on this machine in bytes (Linux PATH_MAX) and room for other systems. */
const MAX_PATH_CHARACTERS = 32_768

const flag = v.optional(v.boolean())
const path = v.pipe(v.string(), v.minLength(1), v.maxLength(MAX_PATH_CHARACTERS))
const paths = v.pipe(v.array(path), v.maxLength(MAX_PATHS))
const text = v.optional(v.pipe(v.string(), v.maxLength(1024)))
const count = v.optional(v.pipe(v.number(), v.safeInteger(), v.minValue(0)))
const positive = v.optional(v.pipe(v.number(), v.safeInteger(), v.minValue(1)))
const pinKind = v.picklist(['recursive', 'direct'])
const nothing = v.strictObject({})

/** Longest that may be waited for copies, in ms: what a timer of Node takes. */
const MAX_TIMEOUT_MS = 2 ** 31 - 1

/** Entries of meta and zones of one call; what the records hold is checked where they are made. */
const MAX_ENTRIES = 1024

const id = v.optional(v.pipe(v.string(), v.maxLength(64)))
const timeoutMs = v.optional(v.pipe(v.number(), v.safeInteger(), v.minValue(1), v.maxValue(MAX_TIMEOUT_MS)))
const label = v.pipe(v.string(), v.maxLength(8192))
const clusterPin = {
  copies: v.optional(v.union([v.literal('all'), v.pipe(v.number(), v.safeInteger(), v.minValue(1))], 'must be a number from 1 on, or all')),
  meta: v.optional(v.pipe(v.record(label, label), v.maxEntries(MAX_ENTRIES))),
  zones: v.optional(v.pipe(v.array(label), v.maxLength(MAX_ENTRIES))),
  expireAtMs: count,
  expireInMs: count
}

const integer = v.optional(v.pipe(v.number(), v.safeInteger()))

const recipe = {
  profile: text, cidVersion: count, hash: text, rawLeaves: flag, chunker: text, trickle: flag, maxFileLinks: count, maxDirectoryLinks: count, maxHamtFanout: count, inline: flag, inlineLimit: count
}

const source = {
  recursive: flag,
  hidden: flag,
  ignore: v.optional(v.pipe(v.array(v.pipe(v.string(), v.maxLength(MAX_IGNORE_BYTES))), v.maxLength(MAX_ENTRIES))),
  dereference: v.optional(v.picklist(['none', 'path', 'all'])),
  preserveMode: flag,
  preserveMtime: flag,
  mode: count,
  mtimeSeconds: integer,
  mtimeNanoseconds: count,
  ignoreErrors: flag
}

const SCHEMAS = {
  id: nothing,
  stop: nothing,
  settings: nothing,
  add: v.strictObject({ ...recipe, ...clusterPin, ...source, paths, stdinName: text, wrap: flag, emptyDirectories: flag, pin: flag, name: text }),
  cat: v.strictObject({ path, offset: count, length: count, places: flag }),
  get: v.strictObject({ path, resume: flag, archive: flag, compress: flag, compressionLevel: v.optional(v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(9))) }),
  ls: v.strictObject({ path, size: flag }),
  stat: v.strictObject({ path, dag: flag }),
  'dag-import': v.strictObject({ paths, pinRoots: flag, name: text }),
  refs: v.strictObject({ paths, recursive: flag, unique: flag, maxDepth: count }),
  'dag-stat': v.strictObject({ paths }),
  'dag-export': v.strictObject({ path, localOnly: flag }),
  'pin-add': v.strictObject({ path, kind: pinKind, name: text, local: flag, ...clusterPin }),
  'pin-rm': v.strictObject({ path: v.optional(path), id, kind: v.optional(pinKind), name: text, local: flag }),
  'pin-update': v.strictObject({ from: path, to: path, unpin: flag, timeoutMs }),
  'pin-status': v.strictObject({ path: v.optional(path), id, kind: v.optional(pinKind), name: text, wait: flag, waitFor: v.optional(v.pipe(v.number(), v.safeInteger(), v.minValue(1))), timeoutMs }),
  'pin-ls': v.strictObject({ path: v.optional(path), kind: v.optional(v.picklist(['recursive', 'direct', 'indirect', 'all'])), name: text }),
  'pin-why': v.strictObject({ path }),
  'pin-stat': v.strictObject({ path }),
  gc: v.strictObject({ dryRun: flag, full: flag }),
  'member-invite': v.strictObject({ role: v.optional(v.picklist(['admin', 'member', 'reader'])), zone: text, lifetimeMs: count }),
  'member-join': v.strictObject({ invite: path, leave: flag }),
  'member-leave': v.strictObject({ force: flag }),
  'member-ls': nothing,
  'member-rm': v.strictObject({ peer: path }),
  'member-role': v.strictObject({ member: path, role: v.picklist(['admin', 'member', 'reader']) }),
  peers: nothing,
  connect: v.strictObject({ address: path }),
  disconnect: v.strictObject({ peer: path }),
  stats: nothing,
  provide: v.strictObject({ cid: path }),
  'find-providers': v.strictObject({ cid: path, limit: count }),
  'repo-stat': nothing,
  'repo-verify': v.strictObject({ sample: positive }),
  'repo-repair': v.strictObject({ known: flag }),
  'repo-scrub': v.strictObject({ action: v.picklist(['start', 'pause', 'status']), bytesPerSecond: positive })
} as const satisfies { [Name in OperationName]: v.GenericSchema<unknown, ArgsOf<Name>> }

/** Reports whether the door knows this operation. */
export function isOperationName (name: string): name is OperationName {
  return Object.hasOwn(SCHEMAS, name)
}

/**
 * Checks the arguments of an operation.
 *
 * @throws `INVALID` naming every argument that is wrong.
 */
export function parseArgs<Name extends OperationName> (name: Name, args: unknown): ArgsOf<Name> {
  const schema: v.GenericSchema<unknown, ArgsOf<Name>> = SCHEMAS[name]
  const result = v.safeParse(schema, args)
  if (result.success) return result.output
  const mistakes = result.issues.map((issue) => `${v.getDotPath(issue) ?? 'arguments'}: ${issue.message}`)
  throw new HoldfastError('INVALID', `Wrong arguments of ${name}: ${mistakes.join('; ')}`)
}
