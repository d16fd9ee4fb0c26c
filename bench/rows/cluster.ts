import { join } from 'node:path'
import type { Bench, Measurement } from '../bench.ts'
import { fetchBare, openBareHolder, rateOf } from '../ends.ts'
import { bytesFile, copyFile, MIB, treeFolder } from '../inputs.ts'
import { type Figure, median, type Row, rowOf, sampleOf, secondsOf } from '../measure.ts'
import { hasCopies, hasPins, type Member, type Members, metricOf, openMembers, until } from '../members.ts'
import { cpuSecondsOf, holdfast, memoryMibOf } from '../processes.ts'

/** What it costs to keep copies on other members: three daemons on this machine, as `holdfast start` makes them. */
export const CLUSTER_ROWS: readonly Measurement[] = [
  { name: 'pin 1 GiB on 3 nodes', run: pinLarge },
  { name: 'pin 10,000 blocks on 3 nodes', run: pinMany }
]

const MEMBERS = 3

const DEFAULT_MIB = 1024

/** Pins that are asked for at the same time. */
const PARALLEL_PINS = 32

/** Times that a status is asked for at the door, and as a command, which starts a process each time. */
const STATUS_CALLS = 500
const STATUS_COMMANDS = 20

/** A file on the first member is pinned with a copy on each, once: the limit is the disk that all three write to. */
async function pinLarge ({ folder, options: { sizeMib = DEFAULT_MIB } }: Bench): Promise<Row[]> {
  const byteLength = sizeMib * MIB
  const path = bytesFile(folder, `pin-${sizeMib}`, byteLength)
  const writeSeconds = await secondsOf(async () => { for (let copies = 0; copies < MEMBERS; copies++) copyFile(path, folder) })
  const bareSeconds = await bareFetch(byteLength)
  await using members = await openMembers(join(folder, 'large'), MEMBERS)
  const { first, all } = members
  const cid = await holdfast(['--path', first.repository, 'add', '-rQ', path])
  const sentBefore = await metricOf(first, 'holdfast_bitswap_sent_bytes_total')
  const cpuBefore = await cpuSecondsOfAll(all)
  const seconds = await secondsOf(async () => { await pinAndWait(first, cid) })
  const sentBytes = await metricOf(first, 'holdfast_bitswap_sent_bytes_total') - sentBefore
  const rss = await Promise.all(all.map(async (member) => await memoryMibOf(member, 'VmHWM')))

  const name = `pin ${sizeMib === DEFAULT_MIB ? '1 GiB' : `${sizeMib} MiB`} on ${MEMBERS} nodes`
  const figure: Figure = { value: sizeMib / seconds, cpuSeconds: await cpuSecondsOfAll(all) - cpuBefore, rssMib: Math.max(...rss) }
  return [
    rowOf({ name, unit: 'MiB/s', note: 'until three copies are verified' }, [
      sampleOf('Holdfast', [figure]),
      sampleOf('write + fsync three times', [{ value: sizeMib / writeSeconds }]),
      sampleOf('bare libp2p stream, TLS, our yamux, once', [rateOf(sizeMib, bareSeconds)])
    ]),
    rowOf({ name: `${name}, sent by the first`, unit: 'MiB', note: 'less is better' }, [sampleOf('Holdfast', [{ value: sentBytes / MIB }]), sampleOf('the content once', [{ value: sizeMib }])]),
    rowOf({ name: `${name}, most memory`, unit: 'MiB', note: 'less is better, RSS of the first' }, rss.map((value, index) => sampleOf(index === 0 ? 'Holdfast' : `member ${index + 1}`, [{ value }])))
  ]
}

async function bareFetch (byteLength: number): Promise<Figure> {
  await using holder = await openBareHolder('wide', byteLength)
  return await fetchBare('wide', { holder, byteLength })
}

async function pinAndWait ({ api }: Member, cid: string): Promise<void> {
  for await (const _ of api.call('pin-add', { path: cid, kind: 'recursive', copies: MEMBERS }));
  for await (const _ of api.call('pin-status', { path: cid, wait: true, waitFor: MEMBERS }));
}

/** One cluster for all rows of many pins: they are made, told of, asked about, and learned by who comes late. */
async function pinMany ({ folder, options: { pinCount } }: Bench): Promise<Row[]> {
  await using members = await openMembers(join(folder, 'many'), MEMBERS)
  const cids = await addFiles(members.first, treeFolder(folder, pinCount))
  const name = `pin ${pinCount.toLocaleString('en')} blocks on ${MEMBERS} nodes`
  const times = await pinAll(members, cids)
  const status = await statusTimes(members.first, cids)
  const late = await catchUp(members, pinCount)
  const secondsRow = (what: string, value: number, others: ReadonlyArray<readonly [string, number]>): Row => rowOf({ name: `${name}, ${what}`, unit: 's', note: 'less is better' }, [
    sampleOf('Holdfast', [{ value }]), ...others.map(([subject, value]) => sampleOf(subject, [{ value }]))
  ])
  return [
    rowOf({ name, unit: 'pins/s', note: `acknowledged, ${PARALLEL_PINS} at a time` }, [sampleOf('Holdfast', [{ value: pinCount / times.acknowledged }]), sampleOf('verified on all', [{ value: pinCount / times.verified }])]),
    secondsRow('records on all', times.recorded, [['until acknowledged', times.acknowledged]]),
    secondsRow('copies verified and told to all', times.verified, [['until acknowledged', times.acknowledged]]),
    rowOf({ name: `pin status at ${pinCount.toLocaleString('en')} pins`, unit: 'ms', note: 'less is better, by the door, median' }, [sampleOf('Holdfast', status.door), sampleOf('id, by the door', status.id), sampleOf('the slowest of a hundred', [{ value: slowest(status.door) }])]),
    rowOf({ name: `holdfast pin status at ${pinCount.toLocaleString('en')} pins`, unit: 'ms', note: 'less is better, the command' }, [sampleOf('Holdfast', status.command), sampleOf('holdfast id', status.idCommand)]),
    secondsRow('a new member has all records', late.recorded, [['the others, while they were made', times.recorded]]),
    secondsRow('a new member has its copies', late.held, [['the others, while they were made', times.verified]])
  ]
}

/** Adds a folder of files of one block each, and returns the CIDs of the files. */
async function addFiles ({ api }: Member, path: string): Promise<string[]> {
  const cids: string[] = []
  for await (const answer of api.call('add', { paths: [path], recursive: true })) {
    if (answer.type === 'event' && 'entry' in answer.event && answer.event.entry.kind === 'file') cids.push(answer.event.entry.cid)
  }
  return cids
}

/** Seconds from the first pin on. */
interface PinTimes {
  readonly acknowledged: number
  /** Every member has the record of every pin. */
  readonly recorded: number
  /** Every member knows of all copies. */
  readonly verified: number
}

async function pinAll ({ first, all }: Members, cids: readonly string[]): Promise<PinTimes> {
  const startedMs = performance.now()
  const waiting = Promise.all([
    until('every member has every record', async () => (await Promise.all(all.map(async (member) => await hasPins(member, cids.length)))).every(Boolean)),
    until('every member knows of every copy', async () => (await Promise.all(all.map(async (member) => await hasCopies(member, MEMBERS * cids.length)))).every(Boolean))
  ])
  const left = cids.values()
  await Promise.all(Array.from({ length: PARALLEL_PINS }, async () => {
    for (const path of left) for await (const _ of first.api.call('pin-add', { path, kind: 'recursive', copies: 'all' }));
  }))
  const acknowledgedMs = performance.now()
  const [recordedMs, verifiedMs] = await waiting
  const [acknowledged = NaN, recorded = NaN, verified = NaN] = [acknowledgedMs, recordedMs, verifiedMs].map((ms) => (ms - startedMs) / 1000)
  return { acknowledged, recorded, verified }
}

interface StatusTimes {
  readonly door: readonly Figure[]
  readonly id: readonly Figure[]
  readonly command: readonly Figure[]
  readonly idCommand: readonly Figure[]
}

async function statusTimes ({ api, repository }: Member, cids: readonly string[]): Promise<StatusTimes> {
  const pathOf = (index: number): string => cids[Math.floor(index * cids.length / STATUS_CALLS)] ?? ''
  const door = await msOfEach(STATUS_CALLS, async (index) => { for await (const _ of api.call('pin-status', { path: pathOf(index) })); })
  const id = await msOfEach(STATUS_CALLS, async () => { for await (const _ of api.call('id', {})); })
  const command = await msOfEach(STATUS_COMMANDS, async (index) => { await holdfast(['--path', repository, 'pin', 'status', pathOf(index)]) })
  const idCommand = await msOfEach(STATUS_COMMANDS, async () => { await holdfast(['--path', repository, 'id']) })
  return { door, id, command, idCommand }
}

/** Lets another node in: seconds from then on until it has the records of all pins, and until its copies of all are told to the first. */
async function catchUp (members: Members, pinCount: number): Promise<{ readonly recorded: number, readonly held: number }> {
  const { member, askedMs } = await members.join()
  const recordedMs = await until('the new member has every record', async () => await hasPins(member, pinCount))
  const heldMs = await until('the first member knows of the copies of the new one', async () => await hasCopies(members.first, (MEMBERS + 1) * pinCount))
  return { recorded: (recordedMs - askedMs) / 1000, held: (heldMs - askedMs) / 1000 }
}

async function msOfEach (count: number, run: (index: number) => Promise<void>): Promise<Figure[]> {
  const figures: Figure[] = []
  for (let index = 0; index < count; index++) figures.push({ value: await secondsOf(async () => { await run(index) }) * 1000 })
  return figures
}

/** The 99th percentile. */
function slowest (figures: readonly Figure[]): number {
  const values = figures.map(({ value }) => value).toSorted((a, b) => a - b)
  return values[Math.floor(values.length * 0.99)] ?? median(values)
}

async function cpuSecondsOfAll (members: readonly Member[]): Promise<number> {
  const each = await Promise.all(members.map(cpuSecondsOf))
  return each.reduce((sum, seconds) => sum + seconds, 0)
}
