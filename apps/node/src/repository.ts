import { replaceFile } from '@holdfast/core/durable-file'
import { HoldfastError } from '@holdfast/core/errors'
import { chmod, mkdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { type ConfigLayer, parseConfigFile } from './config.ts'
import { REPOSITORY_FILES } from './repository-path.ts'

/** Format of the repository that this program writes. Grows by one with each migration. */
export const REPOSITORY_VERSION = 2

/** How blocks are stored: in append-only packs, or one file each. */
export type EngineName = 'pack' | 'fs'

/** The engine of a new repository. */
export const DEFAULT_ENGINE: EngineName = 'pack'

/** Longest `config.json` that is read, in bytes. */
const MAX_CONFIG_BYTES: number = 1024 * 1024

/**
 * Makes a repository in `folder`, or leaves the one that is there as it is.
 *
 * The version is written last, so that a repository without one is a creation that was interrupted. What such a one
 * says of its engine stays.
 *
 * @param engine Must be that of a repository that is there. @default its engine; for a new one `DEFAULT_ENGINE`
 * @returns whether it was made now
 * @throws `UNSUPPORTED` for a repository of a newer version, `INVALID` for one with another engine, `UNAVAILABLE` when the folder cannot be written.
 */
export async function initRepository (folder: string, engine?: EngineName): Promise<boolean> {
  const version = await readVersion(folder)
  const present = await readEngine(folder)
  if (engine !== undefined && present !== undefined && present !== engine) {
    throw new HoldfastError('INVALID', `Repository ${folder} keeps its blocks in the engine ${present}. To move them: holdfast repo convert --to ${engine}`, { folder, engine: present })
  }
  if (version !== undefined) return false
  try {
    await mkdir(folder, { recursive: true, mode: 0o700 })
    await chmod(folder, 0o700)
    const config = join(folder, REPOSITORY_FILES.config)
    if (await readOrUndefined(config) === undefined) await replaceFile(config, '{}\n')
    await writeEngine(folder, present ?? engine ?? DEFAULT_ENGINE)
    await writeVersion(folder)
  } catch (cause) {
    throw new HoldfastError('UNAVAILABLE', `Cannot make a repository in ${folder}: ${reasonOf(cause)}`, { cause, folder })
  }
  return true
}

/**
 * Brings a repository of an older version to this one. Only for whoever holds its lock.
 *
 * Every step can be done again, and the version is written last: a migration that was interrupted begins anew.
 *
 * @returns the version that it had
 */
export async function migrateRepository (folder: string): Promise<number> {
  const version = await readVersion(folder)
  const engine = await readEngine(folder)
  if (version === undefined || engine === undefined) throw new HoldfastError('INVALID', `There is no repository in ${folder}. Make one with: holdfast init`, { folder })
  if (version === REPOSITORY_VERSION) return version
  try {
    // Version 1 had one engine and did not name it.
    await writeEngine(folder, engine)
    await writeVersion(folder)
  } catch (cause) {
    throw new HoldfastError('UNAVAILABLE', `Cannot bring the repository ${folder} from version ${version} to ${REPOSITORY_VERSION}: ${reasonOf(cause)}`, { cause, folder })
  }
  return version
}

/**
 * Returns the engine of the repository, or `undefined` when there is none, or one whose creation was interrupted early.
 *
 * @throws `INVALID` when the file does not name an engine.
 */
export async function readEngine (folder: string): Promise<EngineName | undefined> {
  const path = join(folder, REPOSITORY_FILES.engine)
  const engine = (await readOrUndefined(path))?.trimEnd()
  if (engine === 'pack' || engine === 'fs') return engine
  if (engine !== undefined) throw new HoldfastError('INVALID', `${path} must hold pack or fs: which of the two says what lies beside it, packs/ or blocks/`, { path })
  const version = await readVersion(folder)
  if (version !== undefined && version > 1) throw new HoldfastError('INVALID', `${path} is missing. Write into it pack where there is a folder packs, or fs where there is a folder blocks`, { path })
  return version === 1 || await isThere(join(folder, REPOSITORY_FILES.blocks)) ? 'fs' : undefined
}

/** Says which engine the repository has from now on, durably. */
export async function writeEngine (folder: string, engine: EngineName): Promise<void> {
  await replaceFile(join(folder, REPOSITORY_FILES.engine), `${engine}\n`)
}

async function writeVersion (folder: string): Promise<void> {
  await replaceFile(join(folder, REPOSITORY_FILES.version), `${REPOSITORY_VERSION}\n`)
}

async function isThere (path: string): Promise<boolean> {
  return await unlessAbsent(path, stat(path)) !== undefined
}

/**
 * Returns the version of the repository, or `undefined` when there is none.
 *
 * @throws `UNSUPPORTED` when it is newer than this program, `INVALID` when it is no version.
 */
export async function readVersion (folder: string): Promise<number | undefined> {
  const text = await readOrUndefined(join(folder, REPOSITORY_FILES.version))
  if (text === undefined) return undefined
  if (!/^\d{1,6}\n?$/.test(text)) throw new HoldfastError('INVALID', `${join(folder, REPOSITORY_FILES.version)} does not hold the version of a repository`, { folder })
  const version = Number(text)
  if (version > REPOSITORY_VERSION) {
    throw new HoldfastError('UNSUPPORTED', `Repository ${folder} has version ${version}, this program knows ${REPOSITORY_VERSION} and older. Update Holdfast`, { folder, version })
  }
  return version
}

/** Returns what `config.json` says; nothing when there is none. @throws `INVALID` when it is no JSON object. */
export async function readConfigFile (folder: string): Promise<ConfigLayer> {
  const path = join(folder, REPOSITORY_FILES.config)
  const text = await readOrUndefined(path)
  if (text !== undefined && Buffer.byteLength(text) > MAX_CONFIG_BYTES) throw new HoldfastError('INVALID', `${path} is longer than ${MAX_CONFIG_BYTES} bytes`, { path })
  return parseConfigFile(text ?? '{}', path)
}

/** Writes `config.json` anew, as a whole or not at all. */
export async function writeConfigFile (folder: string, values: Readonly<Record<string, unknown>>): Promise<void> {
  await replaceFile(join(folder, REPOSITORY_FILES.config), `${JSON.stringify(values, null, 2)}\n`)
}

async function readOrUndefined (path: string): Promise<string | undefined> {
  return await unlessAbsent(path, readFile(path, 'utf8'))
}

async function unlessAbsent<T> (path: string, reading: Promise<T>): Promise<T | undefined> {
  try {
    return await reading
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return undefined
    throw new HoldfastError('UNAVAILABLE', `Cannot read ${path}: ${reasonOf(cause)}`, { cause, path })
  }
}

function reasonOf (cause: unknown): string {
  return cause instanceof Error && 'code' in cause ? String(cause.code) : String(cause)
}
