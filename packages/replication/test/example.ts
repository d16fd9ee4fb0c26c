import { type Identity, openIdentity } from '@holdfast/network'
import { createPrivateKey, createPublicKey } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** The identity of the examples in docs/formats/records.md: its seed is 32 bytes of 1. */
export async function exampleIdentity (): Promise<Identity> {
  const seed = Buffer.alloc(32, 1)
  const key = createPrivateKey({ key: Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), seed]), format: 'der', type: 'pkcs8' })
  const publicKey = createPublicKey(key).export({ format: 'der', type: 'spki' }).subarray(-32)
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-'))
  try {
    const path = join(folder, 'identity.key')
    await writeFile(path, Buffer.concat([Uint8Array.of(0x08, 0x01, 0x12, 0x40), seed, publicKey]), { mode: 0o600 })
    return await openIdentity(path)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}
