import { join } from 'node:path'
import type { Bench, Measurement } from '../bench.ts'
import { bytesFile, hashFile, MIB } from '../inputs.ts'
import { compare, type Figure, type Row, secondsOf } from '../measure.ts'
import { background, cpuSecondsOf, daemon, endedCpuSeconds, holdfast, holdfastDiscarding, type Running, subject, subjectPath } from '../processes.ts'

/** What reading costs where the content is already here. */
export const READ_ROWS: readonly Measurement[] = [
  { name: 'cat 1 GiB', run: catFile },
  { name: 'get 1 GiB', run: getFile },
  { name: 'gateway 4 KiB', run: gatewaySmall },
  { name: 'gateway 256 MiB', run: gatewayLarge }
]

async function catFile ({ folder, options: { rounds, sizeMib: size = 1024 } }: Bench): Promise<Row[]> {
  const path = bytesFile(folder, `cat-${size}`, size * MIB)
  const repository = join(folder, 'cat')
  await using node = await daemon(repository)
  const cid = await holdfast(['--path', repository, 'add', '-Q', path])
  const helia = join(folder, 'cat-helia')
  const { result } = await subject<{ result: string }>('helia', ['add', path, helia])
  return [await compare(`cat ${sizeName(size)}`, 'MiB/s', [
    { name: 'Holdfast', run: async () => await measured(node, size, async () => { await holdfastDiscarding(['--path', repository, 'cat', cid]) }) },
    { name: 'Helia, blockstore-fs', rounds: 3, run: async () => size / (await subject<{ seconds: number }>('helia', ['cat', result, helia])).seconds },
    { name: 'pread + SHA-256 in one process', run: async () => size / await secondsOf(async () => { hashFile(path) }) }
  ], rounds, 'verified, through the daemon, with the start of the command')]
}

async function getFile ({ folder, options: { rounds, sizeMib: size = 1024 } }: Bench): Promise<Row[]> {
  const path = bytesFile(folder, `cat-${size}`, size * MIB)
  const repository = join(folder, 'get')
  const target = join(folder, 'got')
  await using node = await daemon(repository)
  const cid = await holdfast(['--path', repository, 'add', '-Q', path])
  return [await compare(`get ${sizeName(size)}`, 'MiB/s', [
    { name: 'Holdfast', run: async () => await measured(node, size, async () => { await holdfastDiscarding(['--path', repository, 'get', cid, '-f', '-o', target]) }) },
    { name: 'pread + SHA-256 in one process', run: async () => size / await secondsOf(async () => { hashFile(path) }) }
  ], rounds, 'written, not synced')]
}

function sizeName (mib: number): string {
  return mib === 1024 ? '1 GiB' : `${mib} MiB`
}

/** The rate of some work, and what it took of the daemon and of the command together. */
async function measured (node: Running<unknown>, sizeMib: number, work: () => Promise<void>): Promise<Figure> {
  const before = await cpuSecondsOf(node) + await endedCpuSeconds()
  const seconds = await secondsOf(work)
  return { value: sizeMib / seconds, cpuSeconds: await cpuSecondsOf(node) + await endedCpuSeconds() - before }
}

async function gatewaySmall ({ folder, options: { rounds } }: Bench): Promise<Row[]> {
  const path = bytesFile(folder, '4k', 4096)
  const repository = join(folder, 'gateway')
  await using node = await daemon(repository)
  const cid = await holdfast(['--path', repository, 'add', '-Q', path])
  await using plain = await background<{ port: number }>([subjectPath('plain-http'), path])
  return [await compare('gateway 4 KiB', 'requests/s', [
    { name: 'Holdfast', run: async () => await loadRate(`${node.ready.gateway}/ipfs/${cid}`) },
    { name: 'bare node:http', run: async () => await loadRate(`http://127.0.0.1:${plain.ready.port}/`) }
  ], rounds, '64 connections, one file')]
}

async function gatewayLarge ({ folder, options: { rounds } }: Bench): Promise<Row[]> {
  const path = bytesFile(folder, '256m', 256 * MIB)
  const repository = join(folder, 'gateway-large')
  await using node = await daemon(repository)
  const cid = await holdfast(['--path', repository, 'add', '-Q', path])
  await using plain = await background<{ port: number }>([subjectPath('plain-http'), path])
  const rate = async (server: Running<unknown>, url: string): Promise<Figure> => {
    const before = await cpuSecondsOf(server) + await endedCpuSeconds()
    const { seconds } = await subject<{ seconds: number }>('download', [url])
    return { value: 256 / seconds, cpuSeconds: await cpuSecondsOf(server) + await endedCpuSeconds() - before }
  }
  return [await compare('gateway 256 MiB', 'MiB/s', [
    { name: 'Holdfast', run: async () => await rate(node, `${node.ready.gateway}/ipfs/${cid}`) },
    { name: 'bare node:http from a file', run: async () => await rate(plain, `http://127.0.0.1:${plain.ready.port}/`) }
  ], rounds, 'verified on every read')]
}

async function loadRate (url: string): Promise<number> {
  const { rate, failures } = await subject<{ rate: number, failures: number }>('load', [url, '5'])
  if (failures > 0) throw new Error(`${failures} requests of ${url} failed`)
  return rate
}
