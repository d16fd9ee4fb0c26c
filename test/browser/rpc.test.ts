import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { test, type TestContext } from 'node:test'
import { join } from 'node:path'
import { holdfast, newFolder, startNode } from '../harness.ts'
import { newPage, openBrowser, SKIP } from './browser.ts'

/** Serves an empty page from an origin that is not the node's. */
async function serveElsewhere (context: TestContext): Promise<string> {
  const server = createServer((_, response) => { response.writeHead(200, { 'content-type': 'text/html' }).end('<!doctype html><title>elsewhere</title>') }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  context.after(() => {
    server.closeAllConnections()
    server.close()
  })
  const address = server.address()
  assert.ok(typeof address === 'object' && address !== null)
  return `http://localhost:${address.port}/`
}

test('a page of another origin can neither drive the RPC nor read from it', { skip: SKIP }, async (context) => {
  const node = await startNode(context)
  const browser = await openBrowser(context)
  const { page } = await newPage(browser)
  await page.goto(await serveElsewhere(context))

  // Everything that a page can send without being asked: simple requests with and without CORS, forms, images, beacons.
  const seen = await page.evaluate(async (rpc) => {
    const attempt = async (path: string, init: RequestInit): Promise<string> => {
      try {
        const response = await fetch(`${rpc}${path}`, init)
        return `${response.type} ${response.status} ${await response.text()}`
      } catch (err) {
        return String(err)
      }
    }
    const form = (): FormData => {
      const data = new FormData()
      data.append('file', new Blob(['planted by a page']), 'planted.txt')
      return data
    }
    return await Promise.all([
      attempt('/api/v0/id', { method: 'POST' }),
      attempt('/api/v0/id', { method: 'POST', mode: 'no-cors' }),
      attempt('/api/v0/id', { method: 'POST', mode: 'no-cors', referrerPolicy: 'no-referrer' }),
      attempt('/api/v0/add', { method: 'POST', mode: 'no-cors', body: form() }),
      attempt('/api/v0/shutdown', { method: 'POST', mode: 'no-cors' }),
      attempt('/api/v0/id', { method: 'POST', headers: { 'x-own': '1' } }),
      attempt('/api/v0/id', { method: 'GET' }),
      attempt('/debug/metrics/prometheus', { method: 'GET' })
    ])
  }, node.ready.rpc)
  await page.evaluate(`(() => {
    const data = new FormData()
    data.append('file', new Blob(['planted by a beacon']), 'planted.txt')
    navigator.sendBeacon('${node.ready.rpc}/api/v0/add', data)
  })()`)
  for (const answer of seen) assert.match(answer, /^(TypeError|opaque 0 $)/)

  // A form that navigates carries the page's origin, or "null".
  const [response] = await Promise.all([
    page.waitForResponse((candidate) => candidate.url().includes('/api/v0/shutdown')),
    page.evaluate(`(() => {
      const form = document.createElement('form')
      form.method = 'POST'
      form.action = '${node.ready.rpc}/api/v0/shutdown'
      document.body.append(form)
      form.submit()
    })()`)
  ])
  assert.equal(response.status(), 403)

  assert.equal(node.process.exitCode, null)
  assert.equal(await node.ok(['pin', 'ls']), '')
  assert.deepEqual(await (await fetch(`${node.ready.rpc}/api/v0/refs/local`, { method: 'POST' })).text(), '')
})

test('a page that the node itself shows by its gateway is another origin too', { skip: SKIP }, async (context) => {
  const node = await startNode(context)
  const browser = await openBrowser(context)
  const { page } = await newPage(browser)
  const cid = await node.ok(['add', '-Q'], { stdin: '<!doctype html><title>content</title>' })
  await page.goto(`${node.ready.gateway}/ipfs/${cid}`)
  const answer = await page.evaluate(async (rpc) => {
    try {
      return (await fetch(`${rpc}/api/v0/id`, { method: 'POST' })).status
    } catch (err) {
      return String(err)
    }
  }, node.ready.rpc)
  assert.match(String(answer), /^TypeError/)
})

test('a page of an origin that the user allowed drives the RPC, and reads what it answers', { skip: SKIP }, async (context) => {
  const url = await serveElsewhere(context)
  const repository = join(await newFolder(context), 'repository')
  assert.equal((await holdfast(['--path', repository, 'init'])).status, 0)
  assert.equal((await holdfast(['--path', repository, 'config', 'set', 'rpcAllowedOrigins', new URL(url).origin])).status, 0)
  const node = await startNode(context, { repository })
  const { page } = await newPage(await openBrowser(context))
  const ask = async (): Promise<string[]> => await page.evaluate(async (rpc) => {
    const answerOf = async (path: string, init: RequestInit): Promise<string> => {
      try {
        const response = await fetch(`${rpc}${path}`, { method: 'POST', ...init })
        return `${response.status} ${response.headers.get('x-chunked-output') ?? ''} ${await response.text()}`
      } catch (err) {
        return String(err)
      }
    }
    const data = new FormData()
    data.append('file', new Blob(['from a page']), 'page.txt')
    // A header of its own makes the browser ask first.
    return [await answerOf('/api/v0/id', { headers: { authorization: 'Bearer none' } }), await answerOf('/api/v0/add?only-hash=true', { body: data })]
  }, node.ready.rpc)
  await page.goto(url)
  const [id = '', added = ''] = await ask()
  assert.ok(id.startsWith('200 ') && id.includes(node.ready.peerId), id)
  assert.match(added, /^200 1 .*"Name":"page\.txt"/)
  // Another port is another origin.
  await page.goto(await serveElsewhere(context))
  for (const answer of await ask()) assert.match(answer, /^TypeError/)
})
