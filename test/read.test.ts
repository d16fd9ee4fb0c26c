import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { test, type TestContext } from 'node:test'
import { HOLDFAST, startNode, type TestNode } from './harness.ts'

const MIB: number = 1024 * 1024

/** Long enough to be read past the door, from where its blocks lie. */
const FILE_BYTES: number = 9 * MIB + 4321

test('command line, gateway and RPC give the same bytes of every range, with either profile and engine', async (context) => {
  for (const [engine, profile] of [['pack', 'unixfs-v1-2025'], ['pack', 'unixfs-v0-2015'], ['fs', 'unixfs-v1-2025']] as const) {
    const { node, content, cid } = await openFile(context, { engine, profile })
    for (const [offset, length] of [[0, FILE_BYTES], [MIB - 3, 5 * MIB], [3 * MIB + 1, 100], [FILE_BYTES - 7, 7]] as const) {
      const expected = content.subarray(offset, offset + length)
      for (const [door, { bytes }] of Object.entries(await readAll(node, cid, { offset, length }))) {
        assert.ok(bytes.equals(expected), `${door}, ${engine}, ${profile}: ${length} bytes from ${offset}`)
      }
    }
  }
})

test('a block that is missing in the middle ends all of them there, and none of them well', async (context) => {
  const { node, content, cid } = await openFile(context, { engine: 'pack', profile: 'unixfs-v1-2025' })
  const sixth = (await node.ok(['refs', cid])).split('\n')[5] ?? ''
  assert.equal((await fetch(`${node.ready.rpc}/api/v0/block/rm?arg=${sixth}`, { method: 'POST' })).status, 200)
  const { cli, gateway, rpc } = await readAll(node, cid, { offset: 0, length: FILE_BYTES })
  assert.ok(cli.bytes.equals(content.subarray(0, 5 * MIB)), `${cli.bytes.byteLength} bytes`)
  assert.ok(content.subarray(0, 5 * MIB).indexOf(gateway.bytes) === 0 && content.subarray(0, 5 * MIB).indexOf(rpc.bytes) === 0)
  for (const { error } of [cli, gateway, rpc]) assert.notEqual(error, undefined)
  assert.ok(cli.error?.includes(`Block ${sixth} was not found (at byte ${5 * MIB} of the file ${cid})`), cli.error)
  const beside = await readAll(node, cid, { offset: 6 * MIB, length: 3 * MIB })
  for (const { bytes } of Object.values(beside)) assert.ok(bytes.equals(content.subarray(6 * MIB, 9 * MIB)), 'what does not need it is whole')
})

test('cat whose reader goes away ends, and one whose reader waits goes on where it was', async (context) => {
  const { node, content, cid } = await openFile(context, { engine: 'pack', profile: 'unixfs-v1-2025' })
  const gone = spawn(process.execPath, [HOLDFAST, '--path', node.repository, 'cat', cid], { stdio: ['ignore', 'pipe', 'inherit'] })
  await once(gone.stdout, 'data')
  gone.stdout.destroy()
  assert.equal((await once(gone, 'exit'))[0], 0, 'as when head has read enough')

  const waiting = spawn(process.execPath, [HOLDFAST, '--path', node.repository, 'cat', cid], { stdio: ['ignore', 'pipe', 'inherit'] })
  const pieces: Buffer[] = []
  for await (const piece of waiting.stdout) {
    pieces.push(piece)
    if (pieces.length % 20 === 0) await new Promise((resolve) => { setTimeout(resolve, 2) })
  }
  assert.ok(Buffer.concat(pieces).equals(content))
})

interface Read {
  readonly bytes: Buffer
  readonly error: string | undefined
}

async function openFile (context: TestContext, { engine, profile }: { readonly engine: 'pack' | 'fs', readonly profile: string }): Promise<{ node: TestNode, content: Buffer, cid: string }> {
  const node = await startNode(context, { engine })
  const content = randomBytes(FILE_BYTES)
  return { node, content, cid: await node.ok(['add', '-Q', '--no-pin', '--profile', profile], { stdin: content }) }
}

/** Reads the same range at each of the three doors. */
async function readAll (node: TestNode, cid: string, { offset, length }: { readonly offset: number, readonly length: number }): Promise<Record<'cli' | 'gateway' | 'rpc', Read>> {
  return {
    cli: await throughCommand(node, ['cat', cid, '--offset', `${offset}`, '--length', `${length}`]),
    gateway: await through(`${node.ready.gateway}/ipfs/${cid}`, { headers: { range: `bytes=${offset}-${offset + length - 1}` } }),
    rpc: await through(`${node.ready.rpc}/api/v0/cat?arg=${cid}&offset=${offset}&length=${length}`, { method: 'POST' })
  }
}

async function throughCommand (node: TestNode, args: readonly string[]): Promise<Read> {
  const child = spawn(process.execPath, [HOLDFAST, '--path', node.repository, ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
  let error = ''
  child.stderr.setEncoding('utf8').on('data', (piece: string) => { error += piece })
  const exited = once(child, 'exit') as Promise<[number | null]>
  const bytes = Buffer.concat(await Array.fromAsync(child.stdout as AsyncIterable<Buffer>))
  const [status] = await exited
  return { bytes, error: status === 0 ? undefined : error }
}

async function through (url: string, init: RequestInit): Promise<Read> {
  const pieces: Uint8Array[] = []
  try {
    const { body, status } = await fetch(url, init)
    for await (const piece of body ?? []) pieces.push(piece)
    const bytes = Buffer.concat(pieces)
    return status < 300 ? { bytes, error: bytes.byteLength < Number(new URL(url).searchParams.get('length') ?? 0) ? 'cut short' : undefined } : { bytes: Buffer.alloc(0), error: bytes.toString() }
  } catch (err) {
    return { bytes: Buffer.concat(pieces), error: String(err) }
  }
}
