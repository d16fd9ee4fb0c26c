/** Shows in two minutes what Holdfast is for: `npm run demo -- [FOLDER]`. What it starts, it ends; what it writes, it removes. */
import { mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, relative, resolve, sep } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type DemoNode, startDemoNode } from './demo-node.ts'
import { openStage } from './demo-stage.ts'
import { ROOT } from './run.ts'

/** How long all of it may take, in ms. */
const DEADLINE_MS = 115_000

/** How often the state of the copies is asked for while they are waited for, in ms. */
const POLL_MS = 500

interface Status {
  readonly countedCount: number
  readonly holders: ReadonlyArray<{ readonly peer: string, readonly name?: string, readonly state: string, readonly isCounted: boolean }>
}

async function play (source: string, signal: AbortSignal): Promise<void> {
  const stage = openStage(process.stdout)
  const files = await filesIn(source)
  await using closing = new AsyncDisposableStack()
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-demo-'))
  closing.defer(async () => { await rm(folder, { recursive: true, force: true }) })
  const start = async (name: string, bootstrap: readonly string[] = []): Promise<DemoNode> => closing.use(await startDemoNode({ name, folder, bootstrap, signal }))

  let nodes: readonly DemoNode[] = []
  await stage.step('Start three nodes, each a process with a repository of its own', async () => {
    nodes = await startAll(['attic', 'cellar', 'garage'], start)
    return nodes.map(({ name, peer, gateway }) => `${name.padEnd(7)} ${peer}  ${gateway}`)
  })
  const [attic, cellar, garage] = nodes
  if (attic === undefined || cellar === undefined || garage === undefined) throw new Error('Three nodes are needed')

  await stage.step('Make them members of one cluster: invite on the first, join on the others', async () => {
    for (const node of [cellar, garage]) await node.run(['member', 'join', await attic.run(['member', 'invite'])])
    await until('all members see one another', signal, async () => (await Promise.all(nodes.map(aliveCount))).every((count) => count === nodes.length))
    return (await attic.run(['member', 'ls'])).split('\n')
  })

  let cid = ''
  await stage.step(`Add ${relative(ROOT, source) || source} on ${attic.name}`, async () => {
    cid = await attic.run(['add', '-rQ', source])
    return [cid]
  })

  await stage.step(`Fetch it through the gateway of ${cellar.name}, and compare`, async () => [await compare(cellar, cid, source, files, signal)])

  await stage.step('Pin it with two copies, and wait until both are verified', async () => {
    await attic.run(['pin', 'add', cid, '--copies', '2', '--name', 'demo', '--wait-for', '2', '--timeout', '60s'])
    return (await attic.run(['pin', 'status', cid])).split('\n')
  })
  const before = await statusOn(attic, cid)
  if (before.countedCount < 2) throw new Error(`There should be two copies, and there are ${before.countedCount}`)

  await stage.step(`Kill ${attic.name} (-9)`, async () => {
    await attic.kill()
    return []
  })

  await stage.step('Fetch it through a fresh fourth node, which had nothing before', async () => {
    const porch = await start('porch', [cellar.address, garage.address])
    const response = await fetch(`${porch.gateway}/ipfs/${cid}`, { headers: { 'cache-control': 'only-if-cached' }, signal })
    await response.body?.cancel()
    if (response.status !== 412) throw new Error(`The fourth node should have nothing, but answered ${response.status} to only-if-cached`)
    return ['412 to Cache-Control: only-if-cached', await compare(porch, cid, source, files, signal)]
  })

  await stage.step(`See the copy that was lost with ${attic.name} made again elsewhere`, async () => {
    await until('two living members have a copy', signal, async () => {
      const { holders, countedCount } = await statusOn(cellar, cid)
      return countedCount >= 2 && !holders.some(({ peer, isCounted }) => isCounted && peer === attic.peer)
    })
    return (await cellar.run(['pin', 'status', cid])).split('\n')
  })

  await stage.step('Stop the nodes and remove what they wrote', async () => {
    await closing.disposeAsync()
    return []
  })
}

/** Starts them at the same time; when one fails the others are there to be closed. */
async function startAll (names: readonly string[], start: (name: string) => Promise<DemoNode>): Promise<DemoNode[]> {
  const started = await Promise.allSettled(names.map(async (name) => await start(name)))
  return started.map((outcome) => {
    if (outcome.status === 'rejected') throw outcome.reason
    return outcome.value
  })
}

async function aliveCount (node: DemoNode): Promise<number> {
  const lines = (await node.run(['member', 'ls', '--json'])).split('\n').filter((line) => line !== '')
  return lines.map((line) => JSON.parse(line) as { isAlive: boolean }).filter(({ isAlive }) => isAlive).length
}

async function statusOn (node: DemoNode, cid: string): Promise<Status> {
  return JSON.parse(await node.run(['pin', 'status', cid, '--json'])) as Status
}

/** Waits until the check holds; the signal ends it. */
async function until (what: string, signal: AbortSignal, check: () => Promise<boolean>): Promise<void> {
  try {
    while (!await check()) await sleep(POLL_MS, undefined, { signal })
  } catch (cause) {
    throw signal.aborted ? new Error(`Waited in vain until ${what}`, { cause }) : cause
  }
}

/** The files that `add -r` takes: hidden ones are left out. */
async function filesIn (folder: string): Promise<string[]> {
  if (!(await stat(folder)).isDirectory()) throw new Error(`${folder} is not a folder`)
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  const files = entries.filter((entry) => entry.isFile()).map((entry) => relative(folder, join(entry.parentPath, entry.name)))
  return files.filter((path) => !path.split(sep).some((part) => part.startsWith('.')))
}

/** Fetches every file from a gateway and compares it byte for byte with the one on disk. */
async function compare ({ gateway }: DemoNode, cid: string, source: string, files: readonly string[], signal: AbortSignal): Promise<string> {
  let byteLength = 0
  for (const path of files) {
    const url = `${gateway}/ipfs/${cid}/${path.split(sep).map(encodeURIComponent).join('/')}`
    const response = await fetch(url, { signal })
    const fetched = Buffer.from(await response.arrayBuffer())
    if (!response.ok) throw new Error(`${url} answered ${response.status}: ${fetched.toString().slice(0, 300)}`)
    if (!fetched.equals(await readFile(join(source, path)))) throw new Error(`${path} came back with other bytes`)
    byteLength += fetched.byteLength
  }
  return `${files.length} files, ${byteLength} bytes: all the same`
}

const stopping = new AbortController()
for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => { stopping.abort(new Error('Interrupted')) })
try {
  // npm runs scripts in the checkout; the folder is meant from where the person is.
  await play(resolve(process.env.INIT_CWD ?? '.', process.argv[2] ?? join(ROOT, 'docs')), AbortSignal.any([stopping.signal, AbortSignal.timeout(DEADLINE_MS)]))
  console.log('All of it held.')
} catch (err) {
  // A child that was ended with the demo says so in many words; the reason is one.
  const reason: unknown = stopping.signal.aborted ? stopping.signal.reason : err
  console.error(`The demo failed: ${reason instanceof Error ? reason.message : String(reason)}`)
  process.exitCode = 1
}
