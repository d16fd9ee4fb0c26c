/** Every attack that a daemon has to stand, and what is expected of it. */
import assert from 'node:assert/strict'
import type { Arena, HonestFile } from './arena.ts'
import type { AttackReport } from './attack.ts'
import { BITSWAP, LAN_KAD, MIB } from './wire.ts'

export interface Scenario {
  /** The behaviour that is expected, as a sentence. */
  readonly name: string
  readonly attack: string
  readonly parameters: Readonly<Record<string, string | number>>
  /** Memory that the victim may take for it beyond quiet when all garbage is gone, in bytes. */
  readonly budgetBytes: number
  /** An honest peer has to get in by a new connection of its own, too. */
  readonly isAboutConnections?: boolean
  /** The honest peer is not connected when the fetch begins: it is found among the providers. */
  readonly isSearched?: boolean
  /** Works on the victim while the attack runs. */
  readonly during?: (arena: Arena, file: HonestFile) => Promise<void>
  /** Says from the attacker's report whether the attack was one, and how it went. */
  readonly check: (report: AttackReport, options: { isLong: boolean }) => void
}

/** What one peer may make the daemon hold. DESIGN.md, Rulings. */
const PEER_BYTES = 8 * MIB

/** What the daemon holds now and did not hold in quiet, without any attack: the file that was fetched, answers on their way, code. */
const NOISE_BYTES = 12 * MIB

/** A connection before its handshake is over. reliability.md, section 4. */
const HANDSHAKE_BYTES = 64 << 10

const ONE_PEER = PEER_BYTES + NOISE_BYTES

const badMessage = (name: string, kind: string): Scenario => ({ name, attack: 'badMessages', parameters: { kind }, budgetBytes: ONE_PEER, check: everyOneRefused })

const badRequest = (name: string, kind: string): Scenario => ({ name, attack: 'badDhtMessages', parameters: { kind }, budgetBytes: ONE_PEER, check: everyOneRefused })

const useless = (name: string, kind: string): Scenario => ({ name, attack: 'uselessMessages', parameters: { kind }, budgetBytes: ONE_PEER, check: atLeast('sent', 5) })

const manyStreams = (name: string, protocol: string, mostCount: number): Scenario => ({
  name,
  attack: 'openStreams',
  parameters: { protocol },
  budgetBytes: ONE_PEER,
  check (report) {
    atLeast('asked', mostCount + 16)(report)
    assert.ok((report['open'] ?? 0) <= mostCount, JSON.stringify(report))
  }
})

export const SCENARIOS: readonly Scenario[] = [
  { name: 'wrong bytes of an announced provider are refused', attack: 'haveEverything', parameters: { sends: 'wrong-bytes' }, budgetBytes: ONE_PEER, isSearched: true, check: atLeast('lies', 1) },
  { name: 'a provider that says HAVE and never sends is passed by', attack: 'haveEverything', parameters: { sends: 'nothing' }, budgetBytes: ONE_PEER, isSearched: true, check: atLeast('lies', 1) },
  badMessage('a message of 4 MiB and a byte ends its stream', 'one byte too long'),
  badMessage('a length without end ends its stream', 'length without end'),
  badMessage('4 MiB of empty wants are refused (T2.4-a)', 'empty wants'),
  badMessage('4 MiB of empty blocks are refused (T2.4-a)', 'empty blocks'),
  badMessage('4 MiB of empty blocks of Bitswap 1.0 are refused (T2.4-a)', 'empty blocks of 1.0'),
  badMessage('4 MiB of empty presences are refused (T2.4-a)', 'empty presences'),
  { name: 'want-lists without end are forgotten (T2.4-b)', attack: 'endlessWants', parameters: { connections: 1, wantsPerSecond: 100_000 }, budgetBytes: ONE_PEER, check: atLeast('wants', 5000) },
  { name: 'many connections of one peer count as one peer', attack: 'endlessWants', parameters: { connections: 32, wantsPerSecond: 100_000 }, budgetBytes: ONE_PEER, check: atLeast('wants', 5000) },
  useless('blocks that nobody asked for are thrown away (T2.4-d)', 'unasked block'),
  useless('crowds of tiny blocks that nobody asked for are thrown away', 'many unasked blocks'),
  useless('answers to what was never asked are passed over', 'many unasked presences'),
  useless('4 MiB of fields that nobody knows are passed over', 'unknown fields'),
  useless('a million empty messages hold up nobody', 'no messages at all'),
  { name: 'readers that never read get no more than their share of memory (T2.4-f)', attack: 'deafReaders', parameters: { peers: 4 }, budgetBytes: 4 * PEER_BYTES + NOISE_BYTES, check: atLeast('wants', 10) },
  { name: 'messages of one byte a second hold up nobody', attack: 'slowLoris', parameters: { streams: 64 }, budgetBytes: ONE_PEER, check: atLeast('bytes', 10) },
  { name: 'resets at every stage of a TLS handshake leave nothing behind', attack: 'resets', parameters: { security: 'tls' }, budgetBytes: ONE_PEER, isAboutConnections: true, check: atLeast('resets', 20) },
  { name: 'resets at every stage of a Noise handshake leave nothing behind', attack: 'resets', parameters: { security: 'noise' }, budgetBytes: ONE_PEER, isAboutConnections: true, check: atLeast('resets', 20) },
  { name: '1,000 silent connections shut nobody out (T2.1-a)', attack: 'silentConnections', parameters: { connections: 1000 }, budgetBytes: 1000 * HANDSHAKE_BYTES + NOISE_BYTES, isAboutConnections: true, check: atLeast('opened', 1000) },
  {
    name: 'handshakes of one byte a second are ended in 10 s (T2.1-b)',
    attack: 'slowHandshakes',
    parameters: { connections: 64 },
    budgetBytes: 64 * HANDSHAKE_BYTES + NOISE_BYTES,
    isAboutConnections: true,
    check (report, { isLong }) {
      assert.equal(report['closedLate'] ?? 0, 0)
      if (isLong) assert.ok((report['closedByVictim'] ?? 0) >= 64, JSON.stringify(report))
      atLeast('bytes', 64)(report)
    }
  },
  manyStreams('a peer gets 256 streams and not one more (T2.1-c)', 'none', 256),
  manyStreams('a peer gets 16 streams of Bitswap', BITSWAP, 16),
  manyStreams('a peer gets 128 streams of the DHT', LAN_KAD, 128),
  { name: '80 KiB of protocols and addresses of ever new peers are cut to size (T2.2-a)', attack: 'identifyFlood', parameters: {}, budgetBytes: ONE_PEER + 16 * MIB, check: atLeast('identified', 2) },
  badRequest('a DHT request of 64 KiB and a byte ends its stream', 'one byte too long'),
  badRequest('a DHT request that declares 4 MiB ends its stream', 'longer than any request'),
  badRequest('a DHT request whose length has no end ends its stream', 'length without end'),
  badRequest('a DHT request of 4 MiB of empty peers is refused (T2.3-e)', 'empty peers'),
  { name: 'FIND_NODE without end is answered no faster than it is read', attack: 'findNodeFlood', parameters: { streams: 8 }, budgetBytes: ONE_PEER, check: atLeast('questions', 100) },
  { name: '100,000 provider records of one peer stay within its quota (T2.3-b)', attack: 'addProviderFlood', parameters: { records: 100_000 }, budgetBytes: ONE_PEER, check: atLeast('records', 1000) },
  {
    name: 'a provider record counts for its sender only, and an own address of somebody else leads nowhere (T2.3-d)',
    attack: 'forgedProviders',
    parameters: {},
    budgetBytes: ONE_PEER,
    async during ({ victim }, { cid }) {
      const { status, stdout, stderr } = await victim.run(['find-providers', cid, '--json'])
      assert.equal(status, 0, stderr)
      const named = stdout.split('\n').filter((line) => line !== '')
      assert.ok(named.length <= 2, `Only the honest peer and the attacker itself may be named: ${stdout}`)
    },
    check: atLeast('records', 3)
  },
  {
    name: 'DHT answers full of junk end the search, not the daemon',
    attack: 'junkReplies',
    parameters: {},
    budgetBytes: ONE_PEER,
    async during ({ victim }) {
      const { status } = await victim.run(['find-providers', 'bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy'])
      assert.ok(status === 0 || status === 3 || status === 6, `status ${status}`)
    },
    check: atLeast('answers', 1)
  }
]

/** Says that an attack did too little to show anything. */
export class WeakAttackError extends Error {
  override name = 'WeakAttackError'
}

/** An attack that did less than this would show nothing. */
function atLeast (what: string, count: number): (report: AttackReport) => void {
  return (report) => {
    if ((report[what] ?? 0) < count) throw new WeakAttackError(`The attack was too weak: ${JSON.stringify(report)}`)
  }
}

function everyOneRefused (report: AttackReport): void {
  atLeast('sent', 2)(report)
  // The last one may be on its way when the time is over.
  assert.ok((report['refused'] ?? 0) >= (report['sent'] ?? 0) - 1, `Messages were taken: ${JSON.stringify(report)}`)
}
