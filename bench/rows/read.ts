import { join } from 'node:path'
import type { Bench, Measurement } from '../bench.ts'
import { bytesFile, hashFile, MIB } from '../inputs.ts'
import { compare, type Row, secondsOf } from '../measure.ts'
import { background, daemon, holdfast, holdfastDiscarding, subject, subjectPath } from '../processes.ts'

/** What reading costs where the content is already here. */
export const READ_ROWS: readonly Measurement[] = [
  { name: 'cat 1 GiB', run: catFile },
  { name: 'gateway 4 KiB', run: gatewaySmall },
  { name: 'gateway 256 MiB', run: gatewayLarge }
]

async function catFile ({ folder, options: { rounds } }: Bench): Promise<Row[]> {
  const path = bytesFile(folder, '1g', 1024 * MIB)
  const repository = join(folder, 'cat')
  await using _node = await daemon(repository)
  const cid = await holdfast(['--path', repository, 'add', '-Q', path])
  const helia = join(folder, 'cat-helia')
  const { result } = await subject<{ result: string }>('helia', ['add', path, helia])
  return [await compare('cat 1 GiB', 'MiB/s', [
    { name: 'Holdfast', run: async () => 1024 / await secondsOf(async () => { await holdfastDiscarding(['--path', repository, 'cat', cid]) }) },
    { name: 'Helia, blockstore-fs', rounds: 3, run: async () => 1024 / (await subject<{ seconds: number }>('helia', ['cat', result, helia])).seconds },
    { name: 'SHA-256 alone', run: async () => 1024 / await secondsOf(async () => { hashFile(path) }) }
  ], rounds, 'verified, through the daemon')]
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
  const rate = async (url: string): Promise<number> => 256 / (await subject<{ seconds: number }>('download', [url])).seconds
  return [await compare('gateway 256 MiB', 'MiB/s', [
    { name: 'Holdfast', run: async () => await rate(`${node.ready.gateway}/ipfs/${cid}`) },
    { name: 'bare node:http from a file', run: async () => await rate(`http://127.0.0.1:${plain.ready.port}/`) }
  ], rounds, 'verified on every read')]
}

async function loadRate (url: string): Promise<number> {
  const { rate, failures } = await subject<{ rate: number, failures: number }>('load', [url, '5'])
  if (failures > 0) throw new Error(`${failures} requests of ${url} failed`)
  return rate
}
