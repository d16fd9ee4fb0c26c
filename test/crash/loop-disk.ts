import { spawnSync } from 'node:child_process'
import { rmdirSync, rmSync } from 'node:fs'
import { mkdir, mkdtemp, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { findProgram, runProgram } from '../programs.ts'

/** File systems whose power can be cut here. */
export type FileSystem = 'ext4' | 'xfs'

/** Bytes of an image; mkfs.xfs wants at least 300 MiB. */
const IMAGE_BYTES = 400 * 1024 * 1024

/** A file system of its own on a file, that can lose its power. */
export interface LoopDisk extends Disposable {
  /** Where it is mounted. */
  readonly folder: string
  /**
   * Stops the file system as a power cut does: what was not synced is gone, whoever writes on meets EIO.
   *
   * A sync that is on its way meanwhile may be told that it succeeded when it did not (seen with fdatasync on ext4 of
   * Linux 6.18). With real power nobody would be left to hear it: answers from the time of the cut and after count for nothing.
   */
  cut(): Promise<void>
  /** Mounts again what the cut left. Nobody may have files open. */
  remount(): Promise<void>
}

/** Says why power cuts cannot be played here, or `undefined` when they can. */
export async function whyNoLoopDisks (): Promise<string | undefined> {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return 'Power cuts are played on loop devices, which takes root on Linux'
  const missing = [['xfs_io', 'xfsprogs'], ['mkfs.ext4', 'e2fsprogs']].filter(([name = '', debianPackage = '']) => findProgram(name, debianPackage) === undefined)
  if (missing.length > 0) return `There is no ${missing.map(([name]) => name).join(' and no ')}, and it could not be installed`
  try {
    // Containers have root without the right to mount, and kernels lack file systems.
    for (const fileSystem of ['ext4', 'xfs'] as const) (await makeLoopDisk(fileSystem))[Symbol.dispose]()
  } catch (err) {
    return `A file system on a loop device cannot be mounted here: ${err instanceof Error ? err.message : String(err)}`
  }
}

/**
 * Makes and mounts an empty file system.
 *
 * It is unmounted, and its loop device let go, when it is disposed and also when this process is ended before that.
 */
export async function makeLoopDisk (fileSystem: FileSystem): Promise<LoopDisk> {
  using making = new DisposableStack()
  const place = await mkdtemp(join(tmpdir(), 'holdfast-disk-'))
  const [image, folder] = [join(place, 'image'), join(place, 'mounted')]
  making.use(onEveryEnd(() => {
    // Lazy: whoever still has files open keeps the loop device until it closes them, and nobody else does.
    spawnSync('umount', ['--lazy', folder], { stdio: 'ignore' })
    rmSync(image, { force: true })
    rmdirSync(folder)
    rmdirSync(place)
  }))
  await mkdir(folder)
  await writeFile(image, '')
  await truncate(image, IMAGE_BYTES)
  await runProgram(`mkfs.${fileSystem}`, ['-q', image])

  const mount = async (): Promise<void> => { await runProgram('mount', ['-t', fileSystem, '-o', 'loop', image, folder]) }
  await mount()
  const made = making.move()
  return {
    folder,
    cut: async () => { await runProgram('xfs_io', ['-x', '-c', 'shutdown', folder]) },
    async remount () {
      await runProgram('umount', [folder])
      await mount()
    },
    [Symbol.dispose]: () => { made.dispose() }
  }
}

/** Runs `release` once: when disposed, when this process exits, or when a signal ends it. */
function onEveryEnd (release: () => void): Disposable {
  const exit = (): void => { process.exit(1) }
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const
  process.once('exit', release)
  for (const signal of signals) process.once(signal, exit)
  return {
    [Symbol.dispose] () {
      process.off('exit', release)
      for (const signal of signals) process.off(signal, exit)
      release()
    }
  }
}
