/**
 * The benchmark table: every row is a ratio taken in one run on one machine, against Helia from npm and against
 * what the machine can do at best. `pnpm bench` runs all rows, `pnpm bench add cat` those whose names contain a word.
 */
import { createCipheriv, createHash, hash } from 'node:crypto'
import { mkdirSync, openSync, readSync, rmSync, writeFileSync, writeSync, closeSync, fsyncSync, existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { cpus, tmpdir, totalmem } from 'node:os'
import { join } from 'node:path'
import { compare, type Row, secondsOf, toTable } from './measure.ts'
import { background, daemon, holdfast, holdfastDiscarding, output, subject } from './processes.ts'

const MIB = 1 << 20
const ROUNDS = Number(process.env.BENCH_ROUNDS ?? 5)
const words = process.argv.slice(2)
const folder = await mkdtemp(join(process.env.BENCH_FOLDER ?? tmpdir(), 'holdfast-bench-'))
const results = join(import.meta.dirname, 'results')

const rows: Array<{ name: string, run: () => Promise<Row> }> = [
  { name: 'add 1 GiB', run: addFile },
  { name: 'add 10,000 files of 4 KiB', run: addTree },
  { name: 'cat 1 GiB', run: catFile },
  { name: 'gateway 4 KiB', run: gatewaySmall },
  { name: 'gateway 256 MiB', run: gatewayLarge },
  { name: 'start of a command', run: startOfCommand }
]

try {
  const done: Row[] = []
  for (const row of rows) {
    if (words.length > 0 && !words.some((word) => row.name.includes(word))) continue
    console.error(`▸ ${row.name}`)
    done.push(await row.run())
  }
  const [cpu] = cpus()
  const machine = { node: process.versions.node, cpu: cpu?.model.trim(), cores: cpus().length, memoryGiB: Math.round(totalmem() / 2 ** 30), date: new Date().toISOString().slice(0, 10) }
  mkdirSync(results, { recursive: true })
  writeFileSync(join(results, 'latest.json'), `${JSON.stringify({ machine, rounds: ROUNDS, rows: done }, null, 2)}\n`)
  console.log(toTable(done))
} finally {
  await rm(folder, { recursive: true, force: true })
}

async function addFile (): Promise<Row> {
  const path = bytesFile('1g', 1024)
  return await compare('add 1 GiB', 'MiB/s', [
    { name: 'Holdfast', run: async () => 1024 / await addFresh(['-Q', path]) },
    { name: 'Helia, blockstore-fs (no fsync)', rounds: 3, run: async () => 1024 / (await heliaFresh('add', path)).seconds },
    { name: 'SHA-256 alone', run: async () => 1024 / await secondsOf(async () => { hashFile(path) }) },
    { name: 'write + fsync alone', run: async () => 1024 / await secondsOf(async () => { copyFile(path) }) }
  ], ROUNDS, 'durable, whole command beside a running node')
}

async function addTree (): Promise<Row> {
  const path = treeFolder()
  return await compare('add 10,000 files of 4 KiB', 'files/s', [
    { name: 'Holdfast', run: async () => 10_000 / await addFresh(['-rQ', path]) },
    { name: 'Helia, blockstore-fs (no fsync)', rounds: 3, run: async () => 10_000 / (await heliaFresh('add-tree', path)).seconds }
  ], Math.min(ROUNDS, 3), 'durable')
}

async function catFile (): Promise<Row> {
  const path = bytesFile('1g', 1024)
  const repository = join(folder, 'cat')
  await using _node = await daemon(repository)
  const cid = await holdfast(['--path', repository, 'add', '-Q', path])
  const helia = join(folder, 'cat-helia')
  const { result } = await subject<{ result: string }>('helia', ['add', path, helia])
  return await compare('cat 1 GiB', 'MiB/s', [
    { name: 'Holdfast', run: async () => 1024 / await secondsOf(async () => { await holdfastDiscarding(['--path', repository, 'cat', cid]) }) },
    { name: 'Helia, blockstore-fs', rounds: 3, run: async () => 1024 / (await subject<{ seconds: number }>('helia', ['cat', result, helia])).seconds },
    { name: 'SHA-256 alone', run: async () => 1024 / await secondsOf(async () => { hashFile(path) }) }
  ], ROUNDS, 'verified, through the daemon')
}

async function gatewaySmall (): Promise<Row> {
  const path = bytesFile('4k', 0, 4096)
  const repository = join(folder, 'gateway')
  await using node = await daemon(repository)
  const cid = await holdfast(['--path', repository, 'add', '-Q', path])
  await using plain = await background<{ port: number }>([join(import.meta.dirname, 'subjects/plain-http.ts'), path])
  return await compare('gateway 4 KiB', 'requests/s', [
    { name: 'Holdfast', run: async () => await loadRate(`${node.ready.gateway}/ipfs/${cid}`) },
    { name: 'bare node:http', run: async () => await loadRate(`http://127.0.0.1:${plain.ready.port}/`) }
  ], ROUNDS, '64 connections, one file')
}

async function gatewayLarge (): Promise<Row> {
  const path = bytesFile('256m', 256)
  const repository = join(folder, 'gateway-large')
  await using node = await daemon(repository)
  const cid = await holdfast(['--path', repository, 'add', '-Q', path])
  await using plain = await background<{ port: number }>([join(import.meta.dirname, 'subjects/plain-http.ts'), path])
  const rate = async (url: string): Promise<number> => 256 / (await subject<{ seconds: number }>('download', [url])).seconds
  return await compare('gateway 256 MiB', 'MiB/s', [
    { name: 'Holdfast', run: async () => await rate(`${node.ready.gateway}/ipfs/${cid}`) },
    { name: 'bare node:http from a file', run: async () => await rate(`http://127.0.0.1:${plain.ready.port}/`) }
  ], ROUNDS, 'verified on every read')
}

async function startOfCommand (): Promise<Row> {
  const repository = join(folder, 'start')
  await using _node = await daemon(repository)
  await holdfast(['--path', repository, 'id'])
  return await compare('start of a command', 'ms', [
    { name: 'Holdfast', run: async () => 1000 * await secondsOf(async () => { await holdfast(['--path', repository, 'id']) }) },
    { name: 'node -e 0', run: async () => 1000 * await secondsOf(async () => { await output(['-e', '0']) }) }
  ], ROUNDS * 3, '`holdfast id`, less is better')
}

/** Adds into a new repository and returns the seconds of the whole command. */
async function addFresh (args: readonly string[]): Promise<number> {
  const repository = join(folder, 'fresh')
  rmSync(repository, { recursive: true, force: true })
  await using _node = await daemon(repository)
  return await secondsOf(async () => { await holdfast(['--path', repository, 'add', ...args]) })
}

async function heliaFresh (work: string, path: string): Promise<{ seconds: number }> {
  const repository = join(folder, 'fresh-helia')
  rmSync(repository, { recursive: true, force: true })
  return await subject('helia', [work, path, repository])
}

async function loadRate (url: string): Promise<number> {
  const { rate, failures } = await subject<{ rate: number, failures: number }>('load', [url, '5'])
  if (failures > 0) throw new Error(`${failures} requests of ${url} failed`)
  return rate
}

function bytesFile (name: string, mib: number, byteLength: number = mib * MIB): string {
  const path = join(folder, name)
  if (existsSync(path)) return path
  const cipher = createCipheriv('chacha20', createHash('sha256').update(name).digest(), Buffer.alloc(16))
  const file = openSync(path, 'w')
  for (let left = byteLength; left > 0; left -= MIB) writeSync(file, cipher.update(Buffer.alloc(Math.min(left, MIB))))
  closeSync(file)
  return path
}

function treeFolder (): string {
  const path = join(folder, 'tree')
  if (existsSync(path)) return path
  mkdirSync(path)
  const cipher = createCipheriv('chacha20', createHash('sha256').update('tree').digest(), Buffer.alloc(16))
  for (let index = 0; index < 10_000; index++) writeFileSync(join(path, `file-${index}`), cipher.update(Buffer.alloc(4096)))
  return path
}

function hashFile (path: string): void {
  eachPiece(path, (piece) => { hash('sha256', piece, 'buffer') })
}

function copyFile (path: string): void {
  const target = openSync(join(folder, 'copy'), 'w')
  eachPiece(path, (piece) => { writeSync(target, piece) })
  fsyncSync(target)
  closeSync(target)
  rmSync(join(folder, 'copy'))
}

function eachPiece (path: string, use: (piece: Buffer) => void): void {
  const file = openSync(path, 'r')
  const buffer = Buffer.alloc(MIB)
  for (let length = readSync(file, buffer); length > 0; length = readSync(file, buffer)) use(buffer.subarray(0, length))
  closeSync(file)
}
