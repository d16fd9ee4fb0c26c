import { lockFile } from '@holdfast/core'

/**
 * Makes this process the only daemon of a repository, until it is disposed or dies.
 *
 * @throws `UNAVAILABLE` naming the process that holds it.
 */
export async function lockRepository (path: string): Promise<AsyncDisposable> {
  return await lockFile(path, ({ pid }) => `This repository is in use by the daemon with process id ${pid}. Stop it with: holdfast stop`)
}
