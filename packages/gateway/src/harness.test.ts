/**
 * What the tests of the gateway share: stores filled from fixtures, requests without a socket, tables of rows,
 * and readers of CAR and TAR that know nothing of our own code.
 */
import { MemoryBlockstore } from '@holdfast/blockstore'
import { Block, silentLogger } from '@holdfast/core'
import { fixturePath } from '@holdfast/testkit'
import { unpackTar } from 'modern-tar'
import { CID } from 'multiformats/cid'
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { test } from 'node:test'
import type { GatewayRequest } from './exchange.ts'
import { createGateway, type Gateway, type GatewayOptions } from './gateway.ts'

/** A response with its body read. */
export interface Answer {
  readonly status: number
  /** Value by lower-case name; a header that was sent twice fails the request. */
  readonly headers: Readonly<Record<string, string>>
  readonly body: Buffer
}

export interface Ask {
  readonly method?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly signal?: AbortSignal
}

/** Sends a request and reads the whole answer, checking what every answer must keep to. */
export async function ask (gateway: Gateway, target: string, { method = 'GET', headers = {}, signal = new AbortController().signal }: Ask = {}): Promise<Answer> {
  const request: GatewayRequest = { method, target, headers: Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value])), signal }
  const response = await gateway.handle(request)
  const found: Record<string, string> = {}
  for (const [name, value] of response.headers) {
    assert.ok(!(name.toLowerCase() in found), `header ${name} is sent once`)
    assert.match(value, /^[\t\x20-\x7e]*$/, `header ${name} can be sent`)
    found[name.toLowerCase()] = value
  }
  const body = response.body === undefined ? Buffer.alloc(0) : Buffer.concat(await Array.fromAsync(response.body.read()))
  if (method === 'HEAD' || response.status === 304) assert.equal(response.body, undefined, 'no body')
  else if (found['content-length'] !== undefined) assert.equal(body.byteLength, Number(found['content-length']), 'Content-Length is true')
  assert.equal(found['access-control-allow-origin'], '*')
  return { status: response.status, headers: found, body }
}

/** A gateway over the blocks of some CAR fixtures. */
export async function gatewayOver (fixtures: readonly string[], options: Partial<GatewayOptions> = {}): Promise<Gateway> {
  return createGateway({ blocks: await storeOf(fixtures), log: silentLogger, ...options })
}

/** A store with the blocks of some CAR fixtures. */
export async function storeOf (fixtures: readonly string[]): Promise<MemoryBlockstore> {
  const store = new MemoryBlockstore()
  for (const name of fixtures) {
    for (const { cid, bytes } of readCarSections(await readFile(fixturePath(name)))) await store.put(await Block.verify(cid, bytes))
  }
  return store
}

/** One row of a table: a request and what its answer must be. */
export interface Row extends Ask {
  readonly target: string
  readonly status?: number | readonly number[]
  /** Exact value, pattern, or `undefined` for a header that must not be there. */
  readonly expect?: Readonly<Record<string, string | RegExp | undefined>>
  /** Exact bytes or text, or a check. */
  readonly body?: string | Uint8Array | ((body: Buffer) => void | Promise<void>)
}

/** Registers one test for each row of a group. */
export function testRows (group: string, gateway: Promise<Gateway>, rows: Readonly<Record<string, Row>>): void {
  for (const [name, row] of Object.entries(rows)) {
    test(`${group}: ${name}`, async () => {
      checkRow(await ask(await gateway, row.target, row), row)
      if (typeof row.body === 'function') await row.body((await ask(await gateway, row.target, row)).body)
    })
  }
}

function checkRow (answer: Answer, { status = 200, expect = {}, body }: Row): void {
  const text = answer.body.toString()
  assert.ok((typeof status === 'number' ? [status] : status).includes(answer.status), `status ${answer.status}: ${text.slice(0, 300)}`)
  for (const [name, wanted] of Object.entries(expect)) {
    const found = answer.headers[name.toLowerCase()]
    if (wanted instanceof RegExp) assert.match(found ?? '(absent)', wanted, name)
    else assert.equal(found, wanted, name)
  }
  if (typeof body === 'string') assert.equal(text, body)
  else if (body instanceof Uint8Array) assert.deepEqual(answer.body, Buffer.from(body))
}

/** Checks that a text holds all of `fragments`. */
export function holding (...fragments: readonly string[]): (body: Buffer) => void {
  return (body) => {
    for (const fragment of fragments) assert.ok(body.includes(fragment), `holds ${fragment}: ${body.toString().slice(-3000)}`)
  }
}

/** The sections of a CARv1, by the letter of its specification. */
export function readCarSections (car: Uint8Array): Array<{ cid: CID, bytes: Uint8Array }> {
  const sections: Array<{ cid: CID, bytes: Uint8Array }> = []
  let at = 0
  const varint = (): number => {
    let value = 0
    for (let scale = 1; ; scale *= 128) {
      const byte = car[at++] ?? assert.fail('CAR is cut short')
      value += (byte & 0x7f) * scale
      if (byte < 0x80) return value
    }
  }
  const headerBytes = varint()
  at += headerBytes
  while (at < car.byteLength) {
    const end = varint() + at
    assert.ok(end <= car.byteLength, 'CAR is cut short')
    const [cid, bytes] = CID.decodeFirst(car.subarray(at, end))
    sections.push({ cid, bytes })
    at = end
  }
  return sections
}

/** Checks that a body is a CAR of exactly these blocks in this order, each with its true bytes. */
export function carOf (cids: readonly string[]): (body: Buffer) => Promise<void> {
  return async (body) => {
    const sections = readCarSections(body)
    for (const { cid, bytes } of sections) await Block.verify(cid, bytes)
    assert.deepEqual(sections.map(({ cid }) => cid.toString()), cids)
  }
}

/** Content by name of the files in a TAR; directories and symlinks map to what they are. */
export async function readTar (tar: Uint8Array): Promise<Record<string, string>> {
  const entries = await unpackTar(tar, { strict: true })
  return Object.fromEntries(entries.map(({ header, data }) => [header.name, header.type === 'file' ? Buffer.from(data ?? []).toString() : `(${header.type}${header.linkname === undefined || header.linkname === '' ? '' : ` ${header.linkname}`})`]))
}

/** Fixture paths below the folder of the public conformance suite. */
export function conformance (...names: readonly string[]): string[] {
  return names.map((name) => `gateway-conformance/${name}.car`)
}
