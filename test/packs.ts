import assert from 'node:assert/strict'
import { open, readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'

/** Paths of the packs of a repository, oldest first. */
export async function packsOf (repository: string): Promise<string[]> {
  const folder = join(repository, 'packs')
  return (await readdir(folder)).filter((name) => name.endsWith('.car')).toSorted().map((name) => join(folder, name))
}

/** Flips one bit in the middle of these bytes wherever a pack holds them. A daemon may be running. */
export async function rot (repository: string, bytes: Uint8Array): Promise<void> {
  let count = 0
  for (const path of await packsOf(repository)) {
    const pack = await readFile(path)
    for (let at = pack.indexOf(bytes); at >= 0; at = pack.indexOf(bytes, at + 1)) {
      await flipBit(path, at + (bytes.byteLength >> 1), 3)
      count++
    }
  }
  assert.ok(count > 0, 'no pack holds these bytes')
}

/** Flips one bit of a file in its place. */
export async function flipBit (path: string, byteOffset: number, bit: number): Promise<void> {
  await using file = await open(path, 'r+')
  const byte = Buffer.alloc(1)
  await file.read(byte, 0, 1, byteOffset)
  await file.write(Buffer.of((byte[0] ?? 0) ^ (1 << bit)), 0, 1, byteOffset)
}
