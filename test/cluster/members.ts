import { createApiClient, type ArgsOf, type EventOf, type MemberEvent, type OperationName, type PinStatusEvent } from '@holdfast/api/client'
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { atEnd, newFolder, startNode, type TestNode } from '../harness.ts'
import { eventually } from './eventually.ts'
import { Wires } from './wires.ts'

/** Grace period of the members: heartbeats come four times in it, and three that are missed on a busy machine are no death. */
const GRACE = '4s'

/** Ports for members: below those that the system gives to who dials, so that nobody takes them while a member is down. */
const FIRST_PORT = 20_000
const PORT_COUNT = 12_000

export interface MemberOptions {
  readonly flags?: readonly string[] | undefined
  /** Programs and arguments that the daemon runs under. */
  readonly under?: readonly string[] | undefined
  readonly repository?: string | undefined
}

/** A member of a cluster: a daemon that may be killed and started again. */
export class Member {
  readonly name: string
  readonly #start: () => Promise<TestNode>
  #node: TestNode | undefined

  constructor (name: string, start: () => Promise<TestNode>) {
    this.name = name
    this.#start = start
  }

  get node (): TestNode {
    assert.ok(this.#node)
    return this.#node
  }

  get peer (): string {
    return this.node.ready.peerId
  }

  async start (): Promise<void> {
    this.#node = await this.#start()
  }

  async kill (): Promise<void> {
    await this.node.end('SIGKILL')
  }

  async restart (): Promise<void> {
    await this.node.end()
    await this.start()
  }

  /** Asks at the door, as the command line does, and returns the events. */
  async ask<Name extends OperationName> (name: Name, args: ArgsOf<Name>, body?: AsyncIterable<Uint8Array>): Promise<Array<EventOf<Name>>> {
    const events: Array<EventOf<Name>> = []
    for await (const answer of createApiClient(join(this.node.repository, 'api.sock')).call(name, args, { body })) if (answer.type === 'event') events.push(answer.event)
    return events
  }

  /** Adds content for the cluster, and returns the pin that was acknowledged. */
  async add (content: Uint8Array | AsyncIterable<Uint8Array>, { copies = 2, name, expireAtMs }: { readonly copies?: number, readonly name?: string, readonly expireAtMs?: number } = {}): Promise<{ readonly id: string, readonly cid: string }> {
    const body = content instanceof Uint8Array ? oneOf(content) : content
    const pins = (await this.ask('add', { paths: [], copies, name, expireAtMs }, body)).flatMap((event) => 'pin' in event ? [event.pin] : [])
    const [pin] = pins.flatMap(({ cid, cluster }) => cluster === undefined ? [] : [{ id: cluster.id, cid }])
    assert.ok(pin, 'An add ended well and pinned nothing')
    return pin
  }

  async statuses (): Promise<PinStatusEvent[]> {
    return (await this.ask('pin-status', {})).map(({ status }) => status)
  }

  async statusOf (id: string): Promise<PinStatusEvent | undefined> {
    return (await this.statuses()).find((status) => status.id === id)
  }

  async members (): Promise<MemberEvent[]> {
    return (await this.ask('member-ls', {})).flatMap((event) => 'member' in event ? [event.member] : [])
  }

  /** Fetches through its gateway. */
  async fetch (cid: string): Promise<Buffer> {
    const response = await fetch(`${this.node.ready.gateway}/ipfs/${cid}`)
    const bytes = Buffer.from(await response.arrayBuffer())
    assert.equal(response.status, 200, bytes.toString('utf8', 0, 300))
    return bytes
  }
}

async function * oneOf (bytes: Uint8Array): AsyncIterable<Uint8Array> {
  yield bytes
}

/** Prepares a member that is reached through a relay only. It is ended with the test. */
export async function wiredMember (context: TestContext, wires: Wires, name: string, { flags = [], under, repository }: MemberOptions = {}): Promise<Member> {
  const folder = repository ?? join(await newFolder(context), 'repository')
  const port = await freePort()
  const announced = `/ip4/127.0.0.1/tcp/${await wires.open(name, port)}`
  return new Member(name, async () => {
    const node = await startNode(context, { repository: folder, under, flags: ['--network', 'lan', '--dht', 'off', '--swarm-port', String(port), '--announce', announced, '--member-name', name, '--zone', name, '--repair-grace', GRACE, ...flags] })
    assert.deepEqual(node.ready.swarm, [`${announced}/p2p/${node.ready.peerId}`])
    wires.attach(name, node.process.pid ?? 0)
    return node
  })
}

/** Opens relays that are closed with the test. */
export function openWires (context: TestContext): Wires {
  const wires = new Wires()
  atEnd(context, async () => { await wires[Symbol.asyncDispose]() })
  return wires
}

/** Starts members, the first of which lets in all others, and waits until they know one another. */
export async function startMembers (members: readonly Member[]): Promise<void> {
  await Promise.all(members.map(async (member) => { await member.start() }))
  const [admin, ...others] = members
  for (const other of others) await other.node.ok(['member', 'join', await admin?.node.ok(['member', 'invite']) ?? ''])
  await untilAcquainted(members)
}

export async function untilAcquainted (members: readonly Member[]): Promise<void> {
  await eventually('all members know one another', async () => {
    const lists = await Promise.all(members.map(async (member) => await member.members()))
    const strangers = lists.findIndex((list) => list.length !== members.length || list.some(({ isAlive, capacityBytes }) => !isAlive || capacityBytes === undefined))
    return strangers < 0 ? undefined : `${members[strangers]?.name} knows ${lists[strangers]?.map(({ name, isAlive }) => `${name} ${isAlive}`).join(', ')}`
  })
}

async function freePort (): Promise<number> {
  for (;;) {
    const port = FIRST_PORT + Math.floor(Math.random() * PORT_COUNT)
    const server = createServer()
    server.listen(port)
    const isFree = await Promise.race([once(server, 'listening').then(() => true), once(server, 'error').then(() => false)])
    if (!isFree) continue
    await once(server.close(), 'close')
    return port
  }
}
