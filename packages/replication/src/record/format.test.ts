import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { exampleIdentity } from '../../test/example.ts'
import { cidOf } from '../../test/replica.ts'
import { formatInvite, parseInvite } from '../members/invite.ts'
import { decodeEnvelope, isSigned } from './envelope.ts'
import { parseRecord } from './parse-record.ts'
import { clusterIdOf } from './record.ts'
import { signForget, signGenesis, signHold, signPin } from './sign-record.ts'

const PAGE = join(import.meta.dirname, '../../../../docs/formats/records.md')

/** The examples of the page: what is fenced as `hex`, and the invite. */
async function examples (): Promise<{ hex: string[], invite: string | undefined }> {
  const text = await readFile(PAGE, 'utf8')
  return { hex: [...text.matchAll(/```hex\n([^`]+)```/g)].map(([, hex = '']) => hex.replace(/\s/g, '')), invite: /^holdfast-invite-1:\S+$/m.exec(text)?.[0] }
}

test('the examples of the page are what is signed here, byte for byte', async () => {
  const identity = await exampleIdentity()
  const genesis = signGenesis(identity, { name: 'ours', nonce: new Uint8Array(16), createdMs: 1_800_000_000_000 })
  const cluster = clusterIdOf(decodeEnvelope(genesis.bytes).payload)
  const pin = signPin(identity, { cluster, pinId: new Uint8Array(16).fill(2), op: 'put', cid: cidOf(0), mode: 'recursive', name: 'photos', copies: { min: 2, max: 3 }, origin: identity.peerId, createdMs: 1_800_000_000_000, hlc: [1_800_000_000_000, 0], seq: 1, context: new Map() })
  const hold = signHold(identity, { cluster, pinKey: Buffer.concat([Uint8Array.of(0), cidOf(0).multihash.bytes]), seq: 2, state: 'verified', bytes: 1000, hlc: [1_800_000_000_000, 1] })
  const forget = signForget(identity, { cluster, pinIds: [new Uint8Array(16).fill(2)], hlc: [1_800_000_000_000, 2], seq: 3 })
  const { hex, invite } = await examples()
  assert.deepEqual(hex, [genesis, pin, hold, forget].map(({ bytes }) => Buffer.from(bytes).toString('hex')))
  const example = { cluster, addresses: ['/ip4/192.0.2.1/tcp/4001'], secret: new Uint8Array(16), role: 'member' as const, expiresMs: 1_800_000_000_000 }
  assert.equal(invite, formatInvite(identity, example))
  assert.deepEqual(parseInvite(invite), { ...example, admin: identity.peerId })
})

test('the examples of the page are read and their signatures count', async () => {
  const { hex } = await examples()
  const records = hex.map((text) => new Uint8Array(Buffer.from(text, 'hex')))
  assert.deepEqual(records.map((bytes) => parseRecord(bytes).kind), ['genesis', 'pin', 'hold', 'forget'])
  assert.ok(records.every((bytes) => isSigned(decodeEnvelope(bytes))))
})
