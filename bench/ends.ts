import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { type ApiClient, createApiClient } from '@holdfast/api/client'
import { socketPathOf } from '../apps/node/src/repository-path.ts'
import { MIB } from './inputs.ts'
import type { Figure } from './measure.ts'
import { background, cpuSecondsOf, daemon, type DaemonReady, holdfast, memoryMibOf, type Running, subject, subjectPath } from './processes.ts'

/** Most rounds of the rows in which whole networks are started: each takes its time. */
export const MAX_NETWORK_ROUNDS = 3

/** One of our nodes on loopback. */
export interface OurEnd extends Running<DaemonReady> {
  readonly repository: string
  readonly api: ApiClient
  /** Where others on this machine dial it. */
  readonly address: string
}

/** Starts one of our nodes with a new repository, on the network of this machine. */
export async function openOurs (repository: string, flags: readonly string[] = ['--dht', 'off']): Promise<OurEnd> {
  rmSync(repository, { recursive: true, force: true })
  const running = await daemon(repository, ['--network', 'lan', ...flags])
  const address = running.ready.swarm.find((each) => each.includes('/ip4/127.0.0.1/tcp/'))
  if (address === undefined) throw new Error(`The daemon does not listen on loopback: ${running.ready.swarm.join()}`)
  return { ...running, repository, address, api: createApiClient(socketPathOf(repository, process.env.XDG_RUNTIME_DIR)) }
}

/** A peer that has the content, ours or not. */
export interface Holder {
  readonly cid: string
  readonly address: string
  readonly process: Running<unknown>['process']
}

/** Starts one of our nodes and adds the path. */
export async function openOurHolder (repository: string, path: string): Promise<Holder & AsyncDisposable> {
  const node = await openOurs(repository)
  return { ...node, cid: await holdfast(['--path', repository, 'add', '-rQ', path]) }
}

/** Starts a Helia that has the path, in memory or in a folder. */
export async function openHeliaHolder (store: string, path: string): Promise<Holder & AsyncDisposable> {
  if (store !== 'memory') rmSync(store, { recursive: true, force: true })
  const running = await background<{ cid: string, address: string }>([subjectPath('helia-peer'), 'serve', path, store])
  return { ...running, ...running.ready }
}

/** What a fetch is of: who has it, where it is dialled, and how much must come. */
export interface Fetch {
  readonly holder: Holder
  /** Another address than the holder's own: that of a proxy. @default its own */
  readonly address?: string
  readonly byteLength: number
}

/** A new node of ours, with nothing in its store, reads a file from the holder through its own gateway. */
export async function fetchOurs (folder: string, fetch: Fetch): Promise<Figure> {
  return await withOurs(folder, fetch, async ({ ready }) => {
    const { seconds, byteLength } = await subject<{ seconds: number, byteLength: number }>('download', [`${ready.gateway}/ipfs/${fetch.holder.cid}`])
    requireAll(byteLength, fetch)
    return seconds
  })
}

/** A new node of ours pins what the holder has: every block of it is here, and durable, when that returns. */
export async function pinOurs (folder: string, fetch: Fetch): Promise<Figure> {
  return await withOurs(folder, fetch, async ({ api }) => {
    const startedMs = performance.now()
    for await (const _ of api.call('pin-add', { path: fetch.holder.cid, kind: 'recursive' }));
    return (performance.now() - startedMs) / 1000
  })
}

async function withOurs (folder: string, { holder, address = holder.address }: Fetch, run: (node: OurEnd) => Promise<number>): Promise<Figure> {
  await using node = await openOurs(join(folder, 'fetcher'))
  await holdfast(['--path', node.repository, 'connect', address])
  const cpuBefore = await cpuSecondsOf(node) + await cpuSecondsOf(holder)
  const seconds = await run(node)
  return { value: seconds, cpuSeconds: await cpuSecondsOf(node) + await cpuSecondsOf(holder) - cpuBefore, rssMib: await memoryMibOf(node, 'VmHWM') }
}

/** What a subject that fetches prints. */
interface Fetched {
  readonly seconds: number
  readonly byteLength: number
  readonly cpuSeconds: number
  readonly rssBytes: number
}

/** A new Helia, with an empty store, reads what the holder has. */
export async function fetchHelia (store: string, way: 'file' | 'file-session' | 'tree' | 'tree-session', { holder, address = holder.address, byteLength }: Fetch): Promise<Figure> {
  if (store !== 'memory') rmSync(store, { recursive: true, force: true })
  return await fetchWith(holder, { byteLength }, 'helia-peer', ['fetch', holder.cid, store, address, way])
}

/** One bare stream over libp2p, as many bytes. */
export async function fetchBare (muxer: 'wide' | 'standard', { holder, address = holder.address, byteLength }: Fetch): Promise<Figure> {
  return await fetchWith(holder, { byteLength }, 'bare-stream', ['receive', muxer, String(byteLength / MIB), address])
}

async function fetchWith (holder: Holder, fetch: Pick<Fetch, 'byteLength'>, name: string, args: readonly string[]): Promise<Figure> {
  const cpuBefore = await cpuSecondsOf(holder)
  const { seconds, byteLength, cpuSeconds, rssBytes } = await subject<Fetched>(name, args)
  requireAll(byteLength, fetch)
  return { value: seconds, cpuSeconds: cpuSeconds + await cpuSecondsOf(holder) - cpuBefore, rssMib: rssBytes / MIB }
}

/** Starts the sending end of a bare stream. */
export async function openBareHolder (muxer: 'wide' | 'standard', byteLength: number): Promise<Holder & AsyncDisposable> {
  const running = await background<{ address: string }>([subjectPath('bare-stream'), 'serve', muxer, String(byteLength / MIB)])
  return { ...running, ...running.ready, cid: '' }
}

/** Turns the seconds of a figure into units of work per second. */
export function rateOf (amount: number, figure: Figure): Figure {
  return { ...figure, value: amount / figure.value }
}

/** Both sides must have cut the same bytes into the same blocks, or the row compares two works. */
export function requireSame (ours: Holder, theirs: Holder): void {
  if (ours.cid !== theirs.cid) throw new Error(`The two stores hold different DAGs: ${ours.cid} and ${theirs.cid}`)
}

function requireAll (byteLength: number, expected: Pick<Fetch, 'byteLength'>): void {
  if (byteLength !== expected.byteLength) throw new Error(`${byteLength} bytes came instead of ${expected.byteLength}`)
}
