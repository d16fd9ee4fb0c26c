import { HoldfastError } from '@holdfast/core/errors'
import { randomUUID } from 'node:crypto'
import { chmod, mkdir, open, readFile, rename, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { type ConfigLayer, parseConfigFile } from './config.ts'
import { REPOSITORY_FILES } from './repository-path.ts'

/** Format of the repository that this program writes. Grows by one with each migration. */
export const REPOSITORY_VERSION = 1

/** Longest `config.json` that is read, in bytes. */
const MAX_CONFIG_BYTES: number = 1024 * 1024

/**
 * Makes a repository in `folder`, or leaves the one that is there as it is.
 *
 * The version is written last, so that a repository without one is a creation that was interrupted.
 *
 * @returns whether it was made now
 * @throws `UNSUPPORTED` for a repository of a newer version, `UNAVAILABLE` when the folder cannot be written.
 */
export async function initRepository (folder: string): Promise<boolean> {
  if (await readVersion(folder) !== undefined) return false
  try {
    await mkdir(folder, { recursive: true, mode: 0o700 })
    await chmod(folder, 0o700)
    const config = join(folder, REPOSITORY_FILES.config)
    if (await readOrUndefined(config) === undefined) await replaceFile(config, '{}\n')
    await replaceFile(join(folder, REPOSITORY_FILES.version), `${REPOSITORY_VERSION}\n`)
  } catch (cause) {
    throw new HoldfastError('UNAVAILABLE', `Cannot make a repository in ${folder}: ${reasonOf(cause)}`, { cause, folder })
  }
  return true
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

/** Makes `path` hold exactly `text`, durably, or leaves it as it was. */
async function replaceFile (path: string, text: string): Promise<void> {
  const temporary = `${path}.${randomUUID()}.tmp`
  try {
    await writeSynced(temporary, text)
    await rename(temporary, path)
    await syncDirectory(dirname(path))
  } catch (err) {
    await rm(temporary, { force: true })
    throw err
  }
}

async function writeSynced (path: string, text: string): Promise<void> {
  await using file = await open(path, 'wx', 0o600)
  await file.writeFile(text)
  await file.sync()
}

async function syncDirectory (path: string): Promise<void> {
  // Windows cannot open a directory; its file systems journal the rename by themselves.
  if (process.platform === 'win32') return
  await using directory = await open(path, 'r')
  await directory.sync()
}

async function readOrUndefined (path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8')
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return undefined
    throw new HoldfastError('UNAVAILABLE', `Cannot read ${path}: ${reasonOf(cause)}`, { cause, path })
  }
}

function reasonOf (cause: unknown): string {
  return cause instanceof Error && 'code' in cause ? String(cause.code) : String(cause)
}
