import { statfs } from 'node:fs/promises'

/** Part of a disk, and bytes, that copies for the cluster leave free: the larger of the two. reference/replication.md, quota. */
const RESERVED_SHARE = 0.05
const MIN_RESERVED_BYTES: number = 2 * 1024 ** 3

/** `auto` is told in steps of this, in bytes, so that a start does not tell everybody of a few bytes more or less. */
const STEP_BYTES: number = 256 * 1024 ** 2

/**
 * Returns how many bytes copies for the cluster may take in all: what was configured, or with `auto` what they take now and what
 * the disk has free above a reserve.
 */
export async function openStorageCapacity (storageMaxBytes: number | 'auto', folder: string): Promise<(copyByteLength: number) => number> {
  if (storageMaxBytes !== 'auto') return () => storageMaxBytes
  const { bavail, blocks, bsize } = await statfs(folder)
  const freeBytes = Math.max(0, bavail * bsize - Math.max(MIN_RESERVED_BYTES, blocks * bsize * RESERVED_SHARE))
  return (copyByteLength) => Math.floor((copyByteLength + freeBytes) / STEP_BYTES) * STEP_BYTES
}
