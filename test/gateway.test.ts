import assert from 'node:assert/strict'
import { mkdir, writeFile } from 'node:fs/promises'
import { type IncomingHttpHeaders, type IncomingMessage, request } from 'node:http'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { test } from 'node:test'
import { newFolder, startNode, type TestNode } from './harness.ts'

interface Answer { readonly status: number, readonly headers: IncomingHttpHeaders, readonly body: Buffer }

/** Sends the path as it is: `fetch` would clean it up first. */
async function ask ({ ready }: TestNode, path: string, { method = 'GET', headers = {} }: { method?: string, headers?: Record<string, string> } = {}): Promise<Answer> {
  const { hostname, port } = new URL(ready.gateway)
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    request({ hostname, port, path, method, headers }, resolve).on('error', reject).end()
  })
  return { status: response.statusCode ?? 0, headers: response.headers, body: await buffer(response) }
}

test('what was added is served over HTTP with type, length, ranges and validators', async (context) => {
  const node = await startNode(context)
  const site = join(await newFolder(context), 'site')
  await mkdir(join(site, 'plain'), { recursive: true })
  await writeFile(join(site, 'index.html'), '<h1>Hello</h1>')
  await writeFile(join(site, 'plain', 'note.txt'), '0123456789')
  const root = await node.ok(['add', '-rQ', site])

  const index = await ask(node, `/ipfs/${root}/`)
  assert.equal(index.status, 200)
  assert.match(index.headers['content-type'] ?? '', /^text\/html/)
  assert.equal(index.body.toString(), '<h1>Hello</h1>')

  const note = `/ipfs/${root}/plain/note.txt`
  const whole = await ask(node, note)
  assert.equal(whole.headers['content-length'], '10')
  assert.match(whole.headers['content-type'] ?? '', /^text\/plain/)
  assert.equal(whole.headers['cache-control'], 'public, max-age=29030400, immutable')
  assert.equal((await ask(node, note, { headers: { 'if-none-match': whole.headers.etag ?? '' } })).status, 304)
  const range = await ask(node, note, { headers: { range: 'bytes=2-4' } })
  assert.equal(`${range.status} ${range.headers['content-range']} ${range.body.toString()}`, '206 bytes 2-4/10 234')
  const several = await ask(node, note, { headers: { range: 'bytes=0-1,8-9' } })
  assert.match(several.headers['content-type'] ?? '', /^multipart\/byteranges/)
  assert.equal((await ask(node, note, { headers: { range: 'bytes=10-' } })).status, 416)
  const head = await ask(node, note, { method: 'HEAD' })
  assert.equal(`${head.headers['content-length']} ${head.body.byteLength}`, '10 0')

  const listing = await ask(node, `/ipfs/${root}/plain/`)
  assert.ok(listing.body.toString().includes('note.txt'))
  assert.equal((await ask(node, `/ipfs/${root}/plain`)).headers.location, `/ipfs/${root}/plain/`)
  for (const [format, type] of [['raw', 'application/vnd.ipld.raw'], ['car', 'application/vnd.ipld.car'], ['tar', 'application/x-tar']] as const) {
    const answer = await ask(node, `/ipfs/${root}?format=${format}`)
    assert.equal(answer.status, 200, format)
    assert.ok(answer.headers['content-type']?.startsWith(type), format)
  }
  assert.match((await ask(node, `${note}?download=true&filename=x.txt`)).headers['content-disposition'] ?? '', /^attachment; filename="x\.txt"/)
})

test('a CAR from the gateway can be imported by another node', async (context) => {
  const [from, to] = await Promise.all([startNode(context), startNode(context)])
  const root = await from.ok(['add', '-Q', '--chunker', 'size-1000'], { stdin: 'x'.repeat(10_000) })
  const { body } = await ask(from, `/ipfs/${root}?format=car`)
  await to.ok(['dag', 'import', '-'], { stdin: body })
  assert.equal(await to.ok(['cat', root]), 'x'.repeat(10_000))
})

test('bad requests get their status, and the node lives on', async (context) => {
  const node = await startNode(context)
  const root = await node.ok(['add', '-wQ', '--stdin-name', 'a'], { stdin: 'a' })
  const unknownHash = `f015530${'20'}${'00'.repeat(32)}`
  const rows: ReadonlyArray<[path: string, statuses: number[], options?: { method?: string, headers?: Record<string, string> }]> = [
    ['/ipfs/not-a-cid', [400]],
    [`/ipfs/${root}/missing`, [404]],
    ['/ipfs/bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy', [404]],
    [`/ipfs/${unknownHash}`, [400, 415, 501]],
    [`/ipfs/${root}/../../../../etc/passwd`, [400, 404]],
    [`/ipfs/${root}/%2e%2e/%2e%2e/a`, [200]],
    [`/ipfs/${root}/..%2F..%2Fa`, [200]],
    [`/ipfs/${root}/a%00b`, [400]],
    [`/ipfs/${root}/%ff`, [400]],
    [`/ipfs/${root}/${'a/'.repeat(4000)}`, [400]],
    [`/ipfs/${root}${'/a'.repeat(10_000)}`, [400, 431]],
    [`/ipfs/${root}/a?format=dag-json`, [406]],
    [`/ipfs/${root}`, [405], { method: 'POST' }],
    ['/ipfs/bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy', [412], { headers: { 'cache-control': 'only-if-cached' } }],
    ['/elsewhere', [404]]
  ]
  for (const [path, statuses, options] of rows) {
    const { status, body } = await ask(node, path, options)
    assert.ok(statuses.includes(status), `${path.slice(0, 80)}: ${status}`)
    assert.ok(!/\bat .*\.[jt]s:\d+/.test(body.toString()), `${path.slice(0, 80)} shows a stack`)
  }
  assert.equal((await ask(node, '/')).status, 200)
  assert.equal(await node.ok(['cat', `${root}/a`]), 'a')
})

test('the gateway listens on loopback only, unless it is told otherwise', async (context) => {
  const node = await startNode(context)
  assert.equal(new URL(node.ready.gateway).hostname, '127.0.0.1')
  const open = await startNode(context, { flags: ['--gateway-host', '::1'] })
  assert.equal(new URL(open.ready.gateway).hostname, '[::1]')
  assert.equal((await fetch(open.ready.gateway)).status, 200)
})
