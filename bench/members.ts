import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { type OurEnd, openOurs } from './ends.ts'

/** How often the members are asked how far they are, in ms: the figures are no finer than that. */
const POLL_MS = 500

/** What a wait may take, in ms. Beyond that something is wrong, and the row fails. */
const MAX_WAIT_MS: number = 15 * 60 * 1000

/** One of our nodes in a cluster. */
export interface Member extends OurEnd {
  /** Where it answers the RPC. */
  readonly rpc: string
}

/** A cluster on this machine, each member a process of its own. */
export interface Members extends AsyncDisposable {
  readonly first: Member
  /** The first one, and all that joined. */
  readonly all: readonly Member[]
  /** Starts another node and lets it in. Returns it, and when it asked to be let in, on the monotonic clock. */
  join(): Promise<{ readonly member: Member, readonly askedMs: number }>
}

/** Starts members that know one another, on the network of this machine. */
export async function openMembers (folder: string, count: number): Promise<Members> {
  await using opening = new AsyncDisposableStack()
  let open: AsyncDisposableStack = opening
  const all: Member[] = []
  const start = async (): Promise<Member> => {
    const node = open.use(await openOurs(join(folder, `member-${all.length}`)))
    const member = { ...node, rpc: await rpcOf(node) }
    all.push(member)
    return member
  }
  const first = await start()
  const letIn = async (): Promise<{ readonly member: Member, readonly askedMs: number }> => {
    const member = await start()
    const invite = await inviteOf(first)
    const askedMs = performance.now()
    for await (const _ of member.api.call('member-join', { invite }));
    return { member, askedMs }
  }
  while (all.length < count) await letIn()
  await until('all members know one another', async () => {
    const lists = await Promise.all(all.map(membersOf))
    return lists.every((members) => members.length === count && members.every(({ isAlive, capacityBytes }) => isAlive && capacityBytes !== undefined))
  })
  open = opening.move()
  return { first, all, join: letIn, [Symbol.asyncDispose]: async () => { await open.disposeAsync() } }
}

interface MemberSeen {
  readonly isAlive: boolean
  readonly capacityBytes?: number | undefined
  readonly copyCount: number
}

/** The members as one of them sees them. */
async function membersOf ({ api }: Member): Promise<MemberSeen[]> {
  const members: MemberSeen[] = []
  for await (const answer of api.call('member-ls', {})) {
    if (answer.type === 'event' && 'member' in answer.event) members.push(answer.event.member)
  }
  return members
}

/** Reports whether a member has the records of so many pins. */
export async function hasPins (member: Member, count: number): Promise<boolean> {
  return await metricOf(member, 'holdfast_cluster_pins') >= count
}

/** Reports whether a member knows of so many copies that were verified, all members together. */
export async function hasCopies (member: Member, count: number): Promise<boolean> {
  const members = await membersOf(member)
  return members.reduce((sum, { copyCount }) => sum + copyCount, 0) >= count
}

/** Reads a figure of a member that has no labels. */
export async function metricOf ({ rpc }: Member, name: string): Promise<number> {
  const text = await (await fetch(`${rpc}/debug/metrics/prometheus`)).text()
  const value = new RegExp(`^${name} (\\S+)$`, 'm').exec(text)?.[1]
  if (value === undefined) throw new Error(`${rpc} has no metric ${name}`)
  return Number(value)
}

/** Waits for something that happens on its own, and returns when that was seen, on the monotonic clock. */
export async function until (what: string, isSo: () => Promise<boolean>): Promise<number> {
  const endMs = performance.now() + MAX_WAIT_MS
  while (!await isSo()) {
    if (performance.now() > endMs) throw new Error(`Not within ${MAX_WAIT_MS / 1000} s: ${what}`)
    await delay(POLL_MS)
  }
  return performance.now()
}

async function inviteOf ({ api }: Member): Promise<string> {
  for await (const answer of api.call('member-invite', {})) if (answer.type === 'event') return answer.event.invite
  throw new Error('The daemon gave no invite')
}

async function rpcOf ({ api }: OurEnd): Promise<string> {
  for await (const answer of api.call('id', {})) if (answer.type === 'event') return answer.event.rpc
  throw new Error('The daemon does not say where its RPC is')
}
